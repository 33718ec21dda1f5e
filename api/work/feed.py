"""The events of a turn or job that this process writes, handed to followers in the same process.

Saves each of them a round trip and a JSON parse. Holds only what is already in the log.
Knows nothing of the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Generic

from api.work.kinds import Event


class Feed(Generic[Event]):
    """Events numbered from `base + 1`, held until the work ends."""

    def __init__(self, base: int = 0) -> None:
        self.base = base
        self.followers = 0
        self._events: list[Event] = []
        self._closed = False
        self._tick: asyncio.Future[None] | None = None

    def add(self, first: int, events: Sequence[Event]) -> None:
        """Adds events of which the first has the number `first`; known ones are skipped."""
        known = self.base + len(self._events)
        self._events.extend(events[max(0, known + 1 - first) :])
        self._wake()

    def close(self) -> None:
        """No more events will come from this process."""
        self._closed = True
        self._wake()

    async def follow(self, after: int) -> AsyncGenerator[tuple[int, Event]]:
        """Events with a number above `after` (at least `base`), until the feed is closed."""
        position = max(0, after - self.base)
        self.followers += 1
        try:
            while True:
                while position < len(self._events):
                    position += 1
                    yield self.base + position, self._events[position - 1]
                if self._closed:
                    return
                if self._tick is None or self._tick.done():
                    self._tick = asyncio.get_running_loop().create_future()
                await asyncio.shield(self._tick)
        finally:
            self.followers -= 1

    def _wake(self) -> None:
        if self._tick is not None and not self._tick.done():
            self._tick.set_result(None)
