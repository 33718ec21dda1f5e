"""Reads server-sent events off a byte stream as they arrive.

Knows the line format; does not know what the data mean. Follows
https://html.spec.whatwg.org/multipage/server-sent-events.html; comments and other fields than `data` are
skipped. Servers that leave out the blank line between two chunks are understood, too.
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
    """An event of more than a mebibyte: no chat completion sends that."""


class EventStream:
    """The data of the events in `content`, one by one."""

    def __init__(self, content: Bytes) -> None:
        self._content = content
        self._ready: deque[bytes] = deque()
        self._rest, self._data = b"", b""
        self._over = False

    async def next(self) -> bytes | None:
        """The next event's data; None at the end of the stream. Raises `EventTooLong`."""
        while not self._ready:
            if self._over:
                return None
            received = await self._content.read()
            if received:
                self._take(received)
            else:
                self._over = True
                self._take(b"\n")
                if _is_whole(self._data):
                    self._dispatch()
        return self._ready.popleft()

    def _take(self, received: bytes) -> None:
        text = self._rest + received
        if b"\r" in text:
            # The line break of a `\r` at the end may be `\r\n`.
            text, late = (text[:-1], b"\r") if text.endswith(b"\r") and not self._over else (text, b"")
            text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n") + late
        *lines, self._rest = text.split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                self._add(line[5:].strip())
            elif not line:
                self._dispatch()
        if len(self._rest) + len(self._data) > _LONGEST:
            raise EventTooLong

    def _add(self, data: bytes) -> None:
        """One line of an event's data; what begins anew after a whole chunk is the next event."""
        if self._data and _is_whole(self._data) and _begins(data):
            self._dispatch()
        self._data = self._data + b"\n" + data if self._data else data

    def _dispatch(self) -> None:
        if self._data:
            self._ready.append(self._data)
            self._data = b""


def _is_whole(data: bytes) -> bool:
    return data.endswith(b"}") or data == b"[DONE]"


def _begins(data: bytes) -> bool:
    return data.startswith((b"{", b"[DONE]"))
