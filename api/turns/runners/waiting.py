"""How long turns wait for a worker: told by the workers that take them, heeded by who adds to the queue.

A bound on the queue's length bounds the wait only where every worker is as fast as ever; this bounds the
wait itself. Knows seconds and the state store; not the broker, nor what a turn is.
"""

from __future__ import annotations

import math
import time
from contextlib import suppress

from api.errors import Overloaded, StateUnavailable
from api.state.connection import State

_KEPT_MS = 10_000
_TOLD_EVERY_S = 0.2
_FRESH_S = 0.25
_LONGEST_RETRY_S = 30


class WaitingTime:
    """The wait of the turn that was taken last, shared by all processes; forgotten after ten seconds.

    Args:
        state: the store.
        limit_s: a longer wait refuses new turns; 0 refuses none.
    """

    def __init__(self, state: State, *, limit_s: float) -> None:
        self._state, self._limit_s = state, limit_s
        self._key = state.key("queue", "turns", "waited")
        self._told_at = self._read_at = -math.inf
        self._read_s = 0.0

    async def tell(self, waited_s: float) -> None:
        """A worker has taken a turn that waited so long."""
        if time.monotonic() - self._told_at < _TOLD_EVERY_S:
            return
        self._told_at = time.monotonic()
        with suppress(StateUnavailable):
            await self._state.call(self._state.redis.set(self._key, f"{max(0.0, waited_s):.3f}", px=_KEPT_MS))

    async def seconds(self) -> float:
        """The wait as last told; 0 where no turn was taken lately, and while the store is away."""
        if time.monotonic() - self._read_at >= _FRESH_S:
            self._read_at = time.monotonic()
            try:
                told = await self._state.call(self._state.redis.get(self._key))
            except StateUnavailable:
                told = None
            self._read_s = float(told or 0.0)
        return self._read_s

    async def admit(self) -> None:
        """Raises `Overloaded`, with the wait as `retry_after`, where turns wait too long."""
        if not self._limit_s:
            return
        waited_s = await self.seconds()
        if waited_s > self._limit_s:
            raise Overloaded(
                f"지금은 대기 중인 질문이 많습니다(약 {math.ceil(waited_s)}초). 잠시 후 다시 시도해 주세요.",
                retry_after=min(math.ceil(waited_s), _LONGEST_RETRY_S),
            )
