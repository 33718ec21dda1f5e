"""`OpenAICompatible` against a real server that misbehaves on demand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from pydantic import SecretStr

from api.errors import ProviderError, ProviderRejected, ProviderTimeout
from api.providers.base import GenerationOptions
from retrieval.prompt import Exchange
from tests.api.providers.provider_kit import OPTIONS, collect, prompt, provider, until
from tests.api.providers.upstream import ANSWER, FAULTS, FIRST, PHASES, PIECES, Upstream, upstream


@pytest.fixture
async def server() -> AsyncIterator[Upstream]:
    async with upstream() as running:
        yield running
        await until(lambda: not running.streaming)


async def test_answer_streams_in_pieces_with_the_reported_usage_and_its_price(server: Upstream) -> None:
    prices = {"usd_per_million_input": 0.4, "usd_per_million_output": 1.6}
    async with provider(server, **prices) as small:
        texts, usage = await collect(small.stream(prompt(), OPTIONS))
    assert texts == list(PIECES)
    assert (usage.prompt_tokens, usage.completion_tokens, usage.estimated) == (1000, 200, False)
    assert usage.cost_usd == pytest.approx(0.0004 + 0.00032)


async def test_usage_is_estimated_where_none_is_reported(server: Upstream) -> None:
    server.usage = False
    async with provider(server) as small:
        _, usage = await collect(small.stream(prompt(), OPTIONS))
    assert usage.estimated
    assert usage.completion_tokens >= len(ANSWER) // 2
    assert usage.prompt_tokens > 10


async def test_request_carries_options_and_extra_body(server: Upstream) -> None:
    extra = {"chat_template_kwargs": {"enable_thinking": False}, "stream_options": None}
    options = GenerationOptions(max_tokens=7, temperature=0.0, top_p=0.9, stop=("끝",), seed=3, user="u1")
    more = {"extra_body": extra, "max_tokens_field": "max_completion_tokens"}
    async with provider(server, **more) as small:
        await collect(small.stream(prompt(), options))
    body = server.requests[0].body
    assert body["max_completion_tokens"] == 7
    assert (body["temperature"], body["top_p"], body["stop"], body["seed"]) == (0.0, 0.9, ["끝"], 3)
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    assert body["user"] == "u1"
    assert "stream_options" not in body
    assert "max_tokens" not in body


@pytest.mark.parametrize("way", ["tag", "field"])
async def test_reasoning_never_reaches_the_seller(server: Upstream, way: str) -> None:
    server.think = way
    async with provider(server) as small:
        texts, _ = await collect(small.stream(prompt(), OPTIONS))
    assert "".join(texts) == ANSWER


async def test_reasoning_opened_by_the_template_never_reaches_the_seller(server: Upstream) -> None:
    server.pieces = ("속으로 한 생각", "</thi", "nk>", "답변")
    async with provider(server, opens_thinking=True) as small:
        texts, _ = await collect(small.stream(prompt(), OPTIONS))
    assert texts == ["답변"]


async def test_answer_of_reasoning_alone_is_a_failure(server: Upstream) -> None:
    server.pieces = ("<think>", "생각만 하다가 끝났다")
    async with provider(server) as small:
        with pytest.raises(ProviderError, match="empty"):
            await collect(small.stream(prompt(), OPTIONS))


async def test_connection_is_used_again(server: Upstream) -> None:
    async with provider(server) as small:
        for _ in range(5):
            await collect(small.stream(prompt(), OPTIONS))
    assert server.connections == 1


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("fault", FAULTS)
async def test_fault_ends_and_frees_the_connection(server: Upstream, fault: str, phase: str) -> None:
    async with provider(server, fault, phase) as small:
        texts, error = [], None
        try:
            async with aclosing(small.stream(prompt(), OPTIONS)) as stream:
                async for chunk in stream:
                    texts.append(chunk.text)
        except ProviderError as exc:
            error = exc
        await until(lambda: not server.streaming)
    if (fault, phase) == ("endless", "after"):
        assert error is None
        assert 100 <= len(texts) <= 103
    else:
        assert error is not None
        assert error.retryable
        assert "".join(texts) == (FIRST if phase == "after" else "")
    timed = fault in ("slow", "stall") or (fault, phase) == ("endless", "before")
    assert isinstance(error, ProviderTimeout) == timed


async def test_early_failures_are_tried_again_and_retry_after_is_honoured(server: Upstream) -> None:
    server.retry_after = "1"
    async with provider(server, "429", max_retries=2, first_token_timeout_s=5.0) as small:

        async def heal() -> None:
            await asyncio.sleep(0.5)
            server.healed = True

        healing = asyncio.create_task(heal())
        started = time.monotonic()
        texts, _ = await collect(small.stream(prompt(), OPTIONS))
        await healing
    assert "".join(texts) == ANSWER
    assert len(server.requests) == 2
    assert time.monotonic() - started >= 1.0


async def test_wait_longer_than_the_first_token_may_take_is_not_begun(server: Upstream) -> None:
    server.retry_after = "30"
    async with provider(server, "429", max_retries=2, first_token_timeout_s=5.0) as small:
        with pytest.raises(ProviderError) as caught:
            await collect(small.stream(prompt(), OPTIONS))
    assert caught.value.retry_after == 30
    assert len(server.requests) == 1


async def test_nothing_is_tried_again_after_the_first_token(server: Upstream) -> None:
    async with provider(server, "cut", "after", max_retries=3) as small:
        with pytest.raises(ProviderError):
            await collect(small.stream(prompt(), OPTIONS))
    assert len(server.requests) == 1


async def test_closing_the_stream_hangs_up_at_once(server: Upstream) -> None:
    server.piece_s = 0.3
    async with provider(server) as small:
        async with aclosing(small.stream(prompt(), OPTIONS)) as stream:
            assert (await anext(stream)).text
        assert await until(lambda: server.requests[0].hung_up_at) < 0.3


async def test_cancelling_while_nothing_has_come_hangs_up_at_once(server: Upstream) -> None:
    async with provider(server, "stall", first_token_timeout_s=30.0) as small:
        asking = asyncio.create_task(collect(small.stream(prompt(), OPTIONS)))
        await until(lambda: server.requests)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert await until(lambda: not server.streaming) < 0.3


async def test_missing_key_of_a_third_party_is_refused_without_a_request(server: Upstream) -> None:
    async with provider(server, third_party=True) as small:
        with pytest.raises(ProviderRejected, match="SMARTSTORE_PROVIDERS__ENDPOINTS__SMALL__API_KEY"):
            await collect(small.stream(prompt(), OPTIONS))
    assert server.requests == []


async def test_personal_data_is_masked_before_a_third_party_only(server: Upstream) -> None:
    history = (Exchange("제 번호는 010-1234-5678입니다", "네, 확인했습니다"),)
    asked = prompt("test@example.com 으로 보내 주세요", history)
    for third_party in (True, False):
        async with provider(server, third_party=third_party, api_key=SecretStr("key-1")) as small:
            await collect(small.stream(asked, OPTIONS))
    sent = [str(seen.body["messages"]) for seen in server.requests]
    assert "010-1234-5678" not in sent[0]
    assert "test@example.com" not in sent[0]
    assert "[전화번호]" in sent[0]
    assert "010-1234-5678" in sent[1]
    assert server.requests[0].headers["authorization"].startswith("Bearer ")


async def test_unreachable_server_is_an_error_that_names_the_provider(server: Upstream) -> None:
    async with provider(server, base_url="http://127.0.0.1:9/v1") as small:
        with pytest.raises(ProviderError, match="small"):
            await collect(small.stream(prompt(), OPTIONS))
        with pytest.raises(ProviderError, match="small"):
            await small.probe(small.upstreams.servers[0])


async def test_probe_tells_a_model_that_is_not_served(server: Upstream) -> None:
    async with provider(server) as small:
        await small.probe(small.upstreams.servers[0])
    async with provider(server, model="없는-모델") as other:
        with pytest.raises(ProviderRejected, match="없는-모델"):
            await other.probe(other.upstreams.servers[0])
