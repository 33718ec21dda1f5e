"""How an answer ends: whole, or said to be cut; and what a server says after its end is not read."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from api.errors import ProviderError
from api.events import FinishReason, Usage
from api.providers.base import Chunk, GenerationOptions
from api.providers.openai.chunks import Completion, Price
from api.settings import Endpoint
from tests.api.providers.provider_kit import OPTIONS, collect, prompt, provider, providers_for, until
from tests.api.providers.test_pool import served
from tests.api.providers.upstream import MODEL, Upstream, upstream

DONE = "[DONE]"


def chunk(text: str | None = None, reason: str | None = None, **fields: Any) -> str:
    """One chunk's data."""
    delta = {} if text is None else {"content": text}
    return json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": reason}], **fields})


@pytest.fixture
async def server() -> AsyncIterator[Upstream]:
    async with upstream() as opened:
        yield opened


async def answer(
    server: Upstream, *events: str, options: GenerationOptions = OPTIONS
) -> tuple[str, FinishReason | None, Usage]:
    """The text, why it ended, and the usage of an answer made of these events."""
    server.events = events
    text, last = "", Chunk()
    async with provider(server) as asked:
        async for piece in asked.stream(prompt(), options):
            text, last = text + piece.text, piece
    assert last.usage is not None
    return text, last.finish, last.usage


@pytest.mark.parametrize(
    ("said", "reason"),
    [("stop", "stop"), ("eos", "stop"), ("length", "length"), ("MAX_TOKENS", "length"),
     ("content_filter", "content_filter"), ("tool_calls", "tool_calls"), ("function_call", "tool_calls")],
)  # fmt: skip
async def test_reason_of_the_end_is_told(server: Upstream, said: str, reason: str) -> None:
    assert (await answer(server, chunk("정산은 다음 영"), chunk(reason=said), DONE))[:2] == (
        "정산은 다음 영",
        reason,
    )


async def test_answer_beyond_its_bound_is_cut_before_it_is_shown(server: Upstream) -> None:
    text, reason, _ = await answer(server, chunk("가" * 100_000), chunk(reason="stop"), DONE)
    assert (len(text), reason) == (1600, "length")


async def test_thoughts_that_swallow_the_rest_cut_the_answer(server: Upstream) -> None:
    text, reason, _ = await answer(server, chunk("태그 <think> 나머지 답변"), chunk(reason="stop"), DONE)
    assert (text.strip(), reason) == ("태그", "length")


@pytest.mark.parametrize("text", ["", "\u200b\u200b", "\ufe0f", "\u3164", " \n ", "<think>생각"])
async def test_answer_in_which_nothing_can_be_seen_is_a_failure(server: Upstream, text: str) -> None:
    with pytest.raises(ProviderError, match="empty"):
        await answer(server, chunk(text), chunk(reason="stop"), DONE)


async def test_what_follows_the_end_is_not_read(server: Upstream) -> None:
    more = (chunk("계속 말합니다"), json.dumps({"error": "고장"}), "{", '{"choices": 3}')
    usage = json.dumps({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}})
    said = await answer(server, chunk("정산은 다음 날. [1]"), chunk(reason="stop"), *more, usage, DONE, *more)
    assert said[0] == "정산은 다음 날. [1]"
    assert (said[2].prompt_tokens, said[2].completion_tokens, said[2].estimated) == (7, 3, False)


@pytest.mark.parametrize("end", [chunk(reason="stop"), DONE])
async def test_server_that_talks_on_is_left(server: Upstream, end: str) -> None:
    server.endless = True
    assert (await answer(server, chunk("다음 날. [1]"), end, chunk("더")))[0] == "다음 날. [1]"
    await until(lambda: server.requests[-1].hung_up_at is not None)


@pytest.mark.parametrize(
    "usage",
    [{"prompt_tokens": None, "completion_tokens": 3}, {"prompt_tokens": -5, "completion_tokens": 3}, {},
     {"prompt_tokens": "7", "completion_tokens": 3}, {"prompt_tokens": True, "completion_tokens": 1},
     {"prompt_tokens": 1.5, "completion_tokens": 1}, {"prompt_tokens": 10**12, "completion_tokens": 1}, 5],
)  # fmt: skip
async def test_usage_that_cannot_be_read_is_no_usage(server: Upstream, usage: Any) -> None:
    told = chunk(usage=usage)
    text, reason, used = await answer(server, chunk("다음 날. [1]"), chunk(reason="stop"), told, DONE)
    assert (text, reason, used.estimated) == ("다음 날. [1]", "stop", True)
    assert used.prompt_tokens > 0


async def test_a_character_in_two_halves_is_put_together(server: Upstream) -> None:
    halves = (
        '{"choices":[{"delta":{"content":"좋아요 \\ud83d"}}]}',
        '{"choices":[{"delta":{"content":"\\ude00[1]"}}]}',
    )
    assert (await answer(server, *halves, chunk(reason="stop"), DONE))[0] == "좋아요 \U0001f600[1]"


def test_text_in_parts_is_read() -> None:
    parts = {
        "choices": [
            {"delta": {"content": [{"type": "text", "text": "다음 "}, {"type": "text", "text": "날"}]}}
        ]
    }
    assert Completion(10, 10, Price()).read(json.dumps(parts).encode()) == "다음 날"


def test_characters_that_hide_or_reorder_are_not_shown() -> None:
    said = "정산\u202e은\u2028다음\U000e0041 날\x07 \u2764\ufe0f"
    assert Completion(10, 100, Price()).read(chunk(said).encode()) == "정산은\n다음 날 \u2764\ufe0f"


async def test_a_compressed_answer_is_said_to_be_unreadable() -> None:
    stream = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\n"
    body = gzip.compress(f"data: {chunk('정산은', 'stop')}\n\ndata: {DONE}\n\n".encode())
    compressed = stream + f"Content-Length: {len(body)}\r\n\r\n".encode() + body
    async with served(compressed) as server:
        url = f"http://127.0.0.1:{server.port}/v1"
        settings = Endpoint(base_url=url, model=MODEL, third_party=False, max_retries=0)
        async with providers_for({"small": settings}) as opened:
            with capture_logs() as logs, pytest.raises(ProviderError, match="cannot be read"):
                await collect(opened["small"].stream(prompt(), OPTIONS))
    assert [each["received"] for each in logs if each["event"] == "provider_unreadable"] == [
        "content encoding gzip"
    ]
