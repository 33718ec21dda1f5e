"""Server-sent events: encoded for responses, decoded for our own clients.

Follows the HTML standard, section 9.2. Knows the framing, not what events mean.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import TypeVar

from redis.exceptions import RedisError

from api.errors import ApiError
from api.events import TURN_EVENT, TurnEvent, event_data
from api.state.away import unavailable

Event = TypeVar("Event")
NumberedEvent = tuple[int, TurnEvent]
_HEARTBEAT = b": keep-alive\n\n"


def encode(number: int, event: TurnEvent) -> bytes:
    """One event on the wire; its JSON holds no raw line break, so one data line is enough."""
    return f"id: {number}\nevent: {event.type}\ndata: {event_data(event)}\n\n".encode()


def last(error: ApiError) -> bytes:
    """The end of a stream that breaks off; it has no number, as the turn's log does not hold it."""
    return f"event: error\ndata: {event_data(error.event())}\n\n".encode()


async def stream(
    events: AsyncIterator[tuple[int, Event]],
    *,
    heartbeat_s: float,
    encode: Callable[[int, Event], bytes],
) -> AsyncGenerator[bytes]:
    """The events as bytes, with a comment line whenever `heartbeat_s` pass in silence.

    Where they break off, an `error` event says why.
    """
    pending: asyncio.Task[tuple[int, Event]] | None = None
    try:
        while True:
            pending = pending or asyncio.ensure_future(_next(events))
            done, _ = await asyncio.wait({pending}, timeout=heartbeat_s)
            if not done:
                yield _HEARTBEAT
                continue
            try:
                number, event = pending.result()
            except StopAsyncIteration:
                return
            except ApiError as exc:
                yield last(exc)
                return
            except RedisError:
                yield last(unavailable())
                return
            pending = None
            yield encode(number, event)
    finally:
        if pending is not None:
            pending.cancel()
            # Also where it has ended: an exception that nobody takes is logged as a fault.
            await asyncio.gather(pending, return_exceptions=True)
        if (aclose := getattr(events, "aclose", None)) is not None:
            await aclose()


async def _next(events: AsyncIterator[Event]) -> Event:
    return await anext(events)


async def decode(content: AsyncIterator[bytes]) -> AsyncGenerator[NumberedEvent]:
    """The events in a response's bytes; comments are skipped. Only `\\n` ends a line of ours."""
    number, kind, data, rest = 0, "", b"", b""
    async for received in content:
        *lines, rest = (rest + received).split(b"\n")
        for line in lines:
            field, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            match field:
                case b"id":
                    number = int(value)
                case b"event":
                    kind = value.decode()
                case b"data":
                    data += value
                case b"" if line == b"" and data:
                    yield number, TURN_EVENT.validate_python({"type": kind, **json.loads(data)})
                    kind, data = "", b""
