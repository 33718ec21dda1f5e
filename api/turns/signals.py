"""How a turn that runs in this process is told to end. Knows nothing of how it then ends."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Literal

import structlog

from api.errors import StateUnavailable
from api.state.channels import Listener
from api.state.connection import State

Reason = Literal["stopped", "abandoned", "turn_timeout", "step_timeout", "interrupted", "lease_lost"]
log = structlog.get_logger(__name__)


class Signals:
    """One pending signal per running turn, and a listener on the stop channel.

    A stop published by another process arrives here; one that is missed is found by
    the run itself when it next renews its lease.
    """

    def __init__(self, state: State, channel: str) -> None:
        self._state, self._channel = state, channel
        self._waiting: dict[str, asyncio.Future[Reason]] = {}
        self._listener: Listener | None = None
        self._task: asyncio.Task[None] | None = None

    def open(self, turn_id: str) -> asyncio.Future[Reason]:
        """The signal of a turn that begins to run here."""
        future: asyncio.Future[Reason] = asyncio.get_running_loop().create_future()
        self._waiting[turn_id] = future
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._listen(), name="turn-signals")
        return future

    def close(self, turn_id: str) -> None:
        """The turn has ended."""
        self._waiting.pop(turn_id, None)

    def send(self, turn_id: str, reason: Reason) -> bool:
        """Tells a turn to end; False when it does not run here."""
        future = self._waiting.get(turn_id)
        if future is None:
            return False
        if not future.done():
            future.set_result(reason)
        return True

    async def aclose(self) -> None:
        """Stops listening."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._listener is not None:
            with contextlib.suppress(StateUnavailable):
                await self._state.channels.unsubscribe(self._channel, self._listener)
            self._listener = None

    async def _listen(self) -> None:
        while self._listener is None:
            try:
                with self._state.guard():
                    self._listener = await self._state.channels.subscribe(self._channel)
            except (StateUnavailable, TimeoutError) as exc:
                log.warning("turns.stop_channel_away", error=str(exc))
                await asyncio.sleep(1.0)
        while True:
            with contextlib.suppress(TimeoutError):
                turn_id = await self._listener.get(60.0)
                if turn_id is not None:
                    self.send(turn_id, "stopped")
