"""Framing of server-sent events: silence is filled, and what was encoded is what is decoded."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator

from redis.exceptions import RedisError

from api.errors import StateUnavailable
from api.events import Delta, TurnCompleted
from api.web import sse


async def test_silence_is_filled_with_comments() -> None:
    go_on = asyncio.Event()

    async def events() -> AsyncIterator[sse.NumberedEvent]:
        yield 1, Delta(text="가")
        await go_on.wait()
        yield 2, Delta(text="나")

    sent = sse.stream(events(), heartbeat_s=0.01, encode=sse.encode)
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

    sent = sse.stream(events(), heartbeat_s=0.01, encode=sse.encode)
    await anext(sent)
    await anext(sent)
    await sent.aclose()  # type: ignore[attr-defined]
    assert closed.is_set()


async def test_decoding_gives_what_was_encoded() -> None:
    numbered: list[sse.NumberedEvent] = [
        (3, Delta(text="줄\n바꿈: 콜론")),
        (4, TurnCompleted(answer="끝", verdict="answered")),
    ]

    async def content() -> AsyncIterator[bytes]:
        sent = b": keep-alive\n\n" + b"".join(sse.encode(number, event) for number, event in numbered)
        for n in range(0, len(sent), 7):
            yield sent[n : n + 7]

    assert [item async for item in sse.decode(content())] == numbered


async def test_a_stream_that_breaks_off_says_why() -> None:
    for fault in (StateUnavailable("없음"), RedisError("full")):

        async def events(fault: Exception = fault) -> AsyncIterator[sse.NumberedEvent]:
            yield 1, Delta(text="가")
            raise fault

        sent = [piece async for piece in sse.stream(events(), heartbeat_s=5, encode=sse.encode)]
        assert sent[-1].startswith(b"event: error\n")
        assert b"state_unavailable" in sent[-1]


async def test_an_end_that_nobody_reads_is_no_fault_in_the_log() -> None:
    faults: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))

    end = asyncio.Event()

    async def events() -> AsyncIterator[sse.NumberedEvent]:
        yield 1, Delta(text="가")
        await end.wait()

    sent = sse.stream(events(), heartbeat_s=0.01, encode=sse.encode)
    await anext(sent)
    assert await anext(sent) == b": keep-alive\n\n"
    end.set()
    # The events have ended, and their reader leaves before hearing of it.
    for _ in range(5):
        await asyncio.sleep(0)
    await sent.aclose()
    gc.collect()
    await asyncio.sleep(0)
    assert not faults
