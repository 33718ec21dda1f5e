"""Prompts beyond the model's context window: what is left out, and who counts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from api.errors import ProviderRejected
from api.providers.base import GenerationOptions, Trimmed
from api.providers.openai.provider import OpenAICompatible
from api.providers.openai.window import estimate, trimmed
from retrieval.prompt import Exchange, GroundedPrompt, ground
from tests.api.providers.provider_kit import FAQ, OPTIONS, collect, prompt, provider, until
from tests.api.providers.upstream import ANSWER, Upstream, count_tokens, upstream

QUESTION = "반품 배송비는 누가 내나요?"
SYSTEM = "FAQ로만 답하세요."
PASSAGE = "구매자가 내는 때와 판매자가 내는 때가 다릅니다. "


@pytest.fixture
async def server() -> AsyncIterator[Upstream]:
    async with upstream() as running:
        yield running
        await until(lambda: not running.streaming)


def _long(exchanges: int = 3, passages: int = 4, times: int = 20) -> GroundedPrompt:
    """A prompt of distinguishable parts; a passage has about 540 characters."""
    history = [Exchange(f"앞선 질문 {n}", "앞선 답변입니다. " * times) for n in range(exchanges)]
    faqs = [replace(FAQ, id=f"{n:012x}", answer=f"자료 {n}: " + PASSAGE * times) for n in range(passages)]
    return ground(QUESTION, faqs, system=SYSTEM, history=history)


async def _answered(small: OpenAICompatible, asked: GroundedPrompt) -> tuple[str, list[Trimmed]]:
    chunks = [chunk async for chunk in small.stream(asked, OPTIONS)]
    return "".join(c.text for c in chunks), [c.trimmed for c in chunks if c.trimmed]


def _asked(server: Upstream, route: str = "/chat/completions") -> list[dict[str, Any]]:
    return [seen.body for seen in server.requests if seen.path.endswith(route)]


async def test_prompt_that_fits_is_sent_whole_without_counting(server: Upstream) -> None:
    server.window = 8192
    async with provider(server) as small:
        assert await _answered(small, _long()) == (ANSWER, [])
    assert [seen.path.rpartition("/")[2] for seen in server.requests] == ["completions"]
    assert _asked(server)[0]["messages"] == _long().messages()


async def test_prompt_that_fits_by_the_servers_own_count_is_sent_whole(server: Upstream) -> None:
    asked = _long()
    server.window = count_tokens({"messages": asked.messages()}) + 100
    assert estimate(asked.messages()) + 100 > server.window
    async with provider(server) as small:
        assert await _answered(small, asked) == (ANSWER, [])
    assert len(_asked(server, "/tokenize")) == 1


@pytest.mark.parametrize("tokenizes", [True, False])
async def test_prompt_of_three_times_the_window_is_trimmed_and_answered(
    server: Upstream, tokenizes: bool
) -> None:
    asked = _long(exchanges=6, passages=8)
    server.window, server.tokenizes = count_tokens({"messages": asked.messages()}) // 3, tokenizes
    async with provider(server) as small:
        text, lost = await _answered(small, asked)
        assert text == ANSWER
        await _answered(small, asked)
    assert lost[0].exchanges == 6
    assert 1 <= lost[0].passages < 8
    # None was refused: the second answer is the second request.
    first, _ = _asked(server)
    assert first["messages"][0] == {"role": "system", "content": SYSTEM}
    [user] = first["messages"][1:]
    assert user["content"].endswith(f"질문: {QUESTION}")
    assert [f"자료 {n}:" in user["content"] for n in range(8)] == [n < 8 - lost[0].passages for n in range(8)]
    # A server without the route is asked for it once.
    assert tokenizes or len(_asked(server, "/tokenize")) == 1


async def test_the_oldest_history_goes_first_and_the_passages_stay(server: Upstream) -> None:
    asked = _long(exchanges=4)
    server.window = count_tokens({"messages": asked.messages()}) + 100 - 30
    async with provider(server) as small:
        assert await _answered(small, asked) == (ANSWER, [Trimmed(exchanges=1)])
    questions = [m["content"] for m in _asked(server)[0]["messages"] if m["role"] == "user"]
    assert questions[:-1] == ["앞선 질문 1", "앞선 질문 2", "앞선 질문 3"]
    assert "자료 3:" in questions[-1]


async def test_a_passage_longer_than_the_window_is_cut_and_not_left_out(server: Upstream) -> None:
    server.window = 1024
    async with provider(server) as small:
        text, lost = await _answered(small, _long(passages=1, times=200))
    assert (text, lost) == (ANSWER, [Trimmed(exchanges=3)])
    assert "자료 0:" in _asked(server)[0]["messages"][-1]["content"]


async def test_the_answer_gets_no_more_than_half_of_the_window(server: Upstream) -> None:
    server.window = 600
    async with provider(server) as small:
        await collect(small.stream(prompt(), GenerationOptions(max_tokens=5000)))
    assert _asked(server)[0]["max_tokens"] == 300


async def test_a_window_of_the_settings_trims_where_the_server_lists_none(server: Upstream) -> None:
    server.window, server.lists_window, server.tokenizes = 1024, False, False
    async with provider(server, context_tokens=1024) as small:
        text, lost = await _answered(small, _long())
    assert text == ANSWER
    assert lost
    assert len(_asked(server)) == 1


async def test_an_unknown_window_is_learned_from_the_refusal(server: Upstream) -> None:
    server.window, server.lists_window, server.tokenizes = 1800, False, False
    async with provider(server) as small:
        text, lost = await _answered(small, _long())
        assert text == ANSWER
        assert lost
        assert len(_asked(server)) == 2
        await _answered(small, _long())
    assert len(_asked(server)) == 3


async def test_a_bound_on_the_answer_beyond_an_unknown_window_costs_no_passage(server: Upstream) -> None:
    server.window, server.lists_window = 4096, False
    async with provider(server) as small:
        chunks = [c async for c in small.stream(_long(), GenerationOptions(max_tokens=5000))]
    assert not any(chunk.trimmed for chunk in chunks)
    assert [body["max_tokens"] for body in _asked(server)] == [5000, 2048]


async def test_half_is_tried_where_the_settings_name_too_large_a_window_and_nobody_counts(
    server: Upstream,
) -> None:
    asked = _long()
    server.window, server.tokenizes = count_tokens({"messages": asked.messages()}), False
    server.says_window = False
    async with provider(server, context_tokens=100_000) as small:
        text, lost = await _answered(small, asked)
    assert (text, lost) == (ANSWER, [Trimmed(exchanges=3, passages=2)])
    assert len(_asked(server)) == 2


async def test_a_refusal_for_length_is_not_tried_again_for_ever(server: Upstream) -> None:
    server.window, server.lists_window, server.tokenizes = 40, False, False
    async with provider(server) as small:
        with pytest.raises(ProviderRejected, match="too long"):
            await _answered(small, _long())
    assert len(_asked(server)) == 3


async def test_a_server_that_lists_no_window_is_sent_everything(server: Upstream) -> None:
    async with provider(server) as small:
        assert await _answered(small, _long(exchanges=20, times=100)) == (ANSWER, [])
    assert len(server.requests) == 1


def test_trimming_to_nothing_keeps_instructions_and_question() -> None:
    left = trimmed(_long(), 0)
    assert (left.history, left.passages) == ((), ())
    assert (left.system, left.standalone) == (SYSTEM, QUESTION)
