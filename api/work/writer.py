"""Writes the events of one run into the log, in order, without holding up the work.

Whatever has piled up while one write was on its way goes out with the next one. A store
that is away for a while is waited for. Knows nothing of how the events came about.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from api.errors import StateUnavailable
from api.work.event_log import EventLog
from api.work.kinds import Event

T = TypeVar("T")
_MOST_PENDING = 512


class EventWriter(Generic[Event]):
    """Numbers and appends events from `last + 1` on. Use as an async context manager."""

    def __init__(self, log: EventLog[Event], work_id: str, token: str, *, last: int, away_s: float) -> None:
        """`away_s`: for how many seconds the store may be away before the run gives up."""
        self._log, self._work_id, self._token = log, work_id, token
        self._next, self._away_s = last + 1, away_s
        self._pending: list[Event] = []
        self._wake, self._idle = asyncio.Event(), asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> EventWriter[Event]:
        self._task = asyncio.create_task(self._write(), name=f"writer-{self._work_id}")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @property
    def broken(self) -> bool:
        """True when a write failed for good: nothing more of this run can be shown."""
        return self._task is not None and self._task.done()

    async def put(self, event: Event) -> None:
        """Queues an event; raises what made an earlier write fail."""
        self._pending.append(event)
        self._idle.clear()
        self._wake.set()
        if len(self._pending) > _MOST_PENDING or self.broken:
            await self.flush()

    async def flush(self) -> None:
        """Waits until everything queued is in the log; raises what made a write fail."""
        assert self._task is not None
        waiting = asyncio.ensure_future(self._idle.wait())
        try:
            await asyncio.wait({waiting, self._task}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if self._task.done():
            self._task.result()

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._pending:
                batch, self._pending = self._pending, []
                await retry_while_away(lambda events=batch: self._append(events), away_s=self._away_s)  # type: ignore[misc]
            self._idle.set()

    async def _append(self, events: list[Event]) -> None:
        await self._log.append_all(self._work_id, self._next, events, token=self._token)
        self._next += len(events)


async def retry_while_away(action: Callable[[], Awaitable[T]], *, away_s: float) -> T:
    """Repeats an idempotent `action` while the store is away, for up to `away_s` seconds."""
    loop = asyncio.get_running_loop()
    give_up = loop.time() + away_s
    while True:
        try:
            return await action()
        except StateUnavailable:
            if loop.time() >= give_up:
                raise
            await asyncio.sleep(0.2)
