"""Framing of server-sent events: silence is filled, and what was encoded is what is decoded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from api.events import Delta, TurnCompleted
from api.web import sse


async def test_silence_is_filled_with_comments() -> None:
    go_on = asyncio.Event()

    async def events() -> AsyncIterator[sse.NumberedEvent]:
        yield 1, Delta(text="가")
        await go_on.wait()
        yield 2, Delta(text="나")

    sent = sse.stream(events(), heartbeat_s=0.01)
    assert (await anext(sent)).startswith(b"id: 1\n")
    assert await anext(sent) == await anext(sent) == b": keep-alive\n\n"
    go_on.set()
    rest = [piece async for piece in sent if not piece.startswith(b":")]
    assert [piece.split(b"\n")[0] for piece in rest] == [b"id: 2"]


async def test_a_reader_who_leaves_closes_the_events() -> None:
    closed = asyncio.Event()

    async def events() -> AsyncIterator[sse.NumberedEvent]:
        try:
            yield 1, Delta(text="가")
            await asyncio.Event().wait()
        finally:
            closed.set()

    sent = sse.stream(events(), heartbeat_s=0.01)
    await anext(sent)
    await anext(sent)
    await sent.aclose()  # type: ignore[attr-defined]
    assert closed.is_set()


async def test_decoding_gives_what_was_encoded() -> None:
    numbered: list[sse.NumberedEvent] = [
        (3, Delta(text="줄\n바꿈: 콜론")),
        (4, TurnCompleted(answer="끝", verdict="answered")),
    ]

    async def lines() -> AsyncIterator[str]:
        yield ": keep-alive"
        yield ""
        for number, event in numbered:
            for line in sse.encode(number, event).decode().split("\n")[:-1]:
                yield line

    assert [item async for item in sse.decode(lines())] == numbered
