"""Reads server-sent events off a byte stream as they arrive.

Knows the line format; does not know what the data mean. Follows
https://html.spec.whatwg.org/multipage/server-sent-events.html as far as chat completions use it:
one `data:` line an event; comments and other fields are skipped.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

_LONGEST = 2**20


class Bytes(Protocol):
    """A stream of bytes."""

    async def read(self) -> bytes:
        """What has arrived; empty at the end."""


class EventTooLong(Exception):
    """A line of more than a mebibyte: no chat completion sends that."""


class EventStream:
    """The data of the events in `content`, one by one."""

    def __init__(self, content: Bytes) -> None:
        self._content = content
        self._ready: deque[bytes] = deque()
        self._rest = b""

    async def next(self) -> bytes | None:
        """The next event's data; None at the end of the stream. Raises `EventTooLong`."""
        while not self._ready:
            received = await self._content.read()
            if not received:
                return None
            *lines, self._rest = (self._rest + received).split(b"\n")
            self._ready.extend(line[5:].strip() for line in lines if line.startswith(b"data:"))
            if len(self._rest) > _LONGEST:
                raise EventTooLong
        return self._ready.popleft()
