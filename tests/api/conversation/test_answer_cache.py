"""The exact cache of first answers, over a real state store."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from api.conversation.answer_cache import AnswerCache, answer_version, normal_form
from api.conversation.memory import Memory, RememberedTurn
from api.events import Delta, ProviderSwitched, Sources, TurnCompleted, TurnEvent, TurnStarted, Usage
from api.providers.base import GenerationOptions
from api.providers.choice import Providers
from api.providers.extractive import Extractive
from api.settings import Settings
from api.state.connection import State
from api.turns.answering import Answering
from api.turns.runners.base import TurnRequest
from retrieval.tokenizer import KoreanTokenizer
from tests.api.live import ask
from tests.api.turns.turn_kit import ANSWER, ScriptedConversation

REQUEST = TurnRequest("t_1", "s_1", "미성년자도 가입할 수 있나요?", "extractive")
NEW = Memory()
PROVIDERS = Providers({"extractive": Extractive(KoreanTokenizer())}, default="extractive")


class Named(ScriptedConversation):
    """Says which provider, model and index its answers are from."""

    provider, index, switches = "extractive", "index-1", False
    model = PROVIDERS.model_of("extractive", "s_1")

    async def answer(self, request: TurnRequest, memory: Memory) -> AsyncGenerator[TurnEvent]:
        async for event in super().answer(request, memory):
            if isinstance(event, TurnCompleted):
                named = {"provider": self.provider, "index": self.index, "usage": Usage(cost_usd=0.1)}
                yield event.model_copy(update=named)
            elif isinstance(event, TurnStarted):
                yield event.model_copy(update={"model": self.model})
            else:
                if self.switches and isinstance(event, Delta):
                    yield ProviderSwitched(from_="gpt", to="extractive", reason="provider_error")
                yield event


class Cached:
    """A cached conversation whose surroundings a test may move."""

    def __init__(self, state: State, *, ttl_s: int = 60) -> None:
        self.inner, self.index = Named(), "index-1"
        cache = AnswerCache(state, version="v1", ttl_s=ttl_s, providers=PROVIDERS, index=lambda: self.index)
        self._answering = Answering(self.inner, cache)

    async def ask(self, request: TurnRequest = REQUEST, memory: Memory = NEW) -> list[TurnEvent]:
        seen = []
        async with self._answering.observed(request, memory) as observe:
            async for event in await self._answering.events(request, memory):
                observe(event)
                seen.append(event)
        return seen

    async def hits(self, request: TurnRequest = REQUEST, memory: Memory = NEW) -> bool:
        final = (await self.ask(request, memory))[-1]
        assert isinstance(final, TurnCompleted)
        return final.cached


async def test_repeated_question_is_answered_without_the_conversation(state: State) -> None:
    cached = Cached(state)
    first = await cached.ask()
    second = await cached.ask(replace(REQUEST, turn_id="t_2", session_id="s_2"))
    assert cached.inner.begun == 1
    started, final = second[0], second[-1]
    assert isinstance(started, TurnStarted)
    assert (started.turn_id, started.session_id) == ("t_2", "s_2")
    assert isinstance(final, TurnCompleted)
    assert (final.cached, final.answer, final.usage.cost_usd) == (True, ANSWER, 0.0)
    assert "".join(e.text for e in second if isinstance(e, Delta)) == ANSWER
    assert [e for e in second if isinstance(e, Sources)] == [e for e in first if isinstance(e, Sources)]


@pytest.mark.parametrize(
    "question",
    [
        "미성년자도 가입할 수 있나요",
        "  미성년자도  가입할 수 있나요 ?? ",
        "미성년자도\u00a0가입할 수 있나요?\u200b",
    ],
)
async def test_normally_equal_questions_share_an_answer(embedded_state: State, question: str) -> None:
    cached = Cached(embedded_state)
    await cached.ask()
    assert await cached.hits(replace(REQUEST, question=question))


@pytest.mark.parametrize(
    "other",
    [
        replace(REQUEST, question="미성년자는 가입할 수 없나요?"),
        replace(REQUEST, options=GenerationOptions(max_tokens=9)),
        replace(REQUEST, options=GenerationOptions(stop=("끝",))),
    ],
)
async def test_other_questions_and_options_do_not(embedded_state: State, other: TurnRequest) -> None:
    cached = Cached(embedded_state)
    await cached.ask()
    assert not await cached.hits(other)


async def test_moved_index_asks_again(embedded_state: State) -> None:
    cached = Cached(embedded_state)
    await cached.ask()
    cached.index = cached.inner.index = "index-2"
    assert not await cached.hits()
    assert await cached.hits()


async def test_index_that_moves_during_an_answer_keeps_it_out(embedded_state: State) -> None:
    cached = Cached(embedded_state)
    cached.inner.index = "index-2"
    await cached.ask()
    assert not await cached.hits()


async def test_followups_are_neither_kept_nor_taken(embedded_state: State) -> None:
    cached = Cached(embedded_state)
    memory = Memory((RememberedTurn("가입은?", "가입은?", "됩니다", "answered"),))
    with_history = replace(REQUEST, history=(("가입은?", "됩니다"),))
    for _ in range(2):
        assert not await cached.hits(memory=memory)
        assert not await cached.hits(with_history)
    await cached.ask()
    assert not await cached.hits(memory=memory)
    assert not await cached.hits(with_history)


@pytest.mark.parametrize("how", [{"temperature": 0.7}, {"top_p": 0.5}, {"seed": 1}])
async def test_answers_left_to_chance_are_not_kept(embedded_state: State, how: dict[str, float]) -> None:
    cached = Cached(embedded_state)
    request = replace(REQUEST, options=GenerationOptions(**how))  # type: ignore[arg-type]
    await cached.ask(request)
    assert not await cached.hits(request)


async def test_answer_of_a_fallback_is_not_kept(embedded_state: State) -> None:
    cached = Cached(embedded_state)
    cached.inner.provider = "other"
    await cached.ask()
    assert not await cached.hits()
    cached.inner.provider, cached.inner.switches = "extractive", True
    await cached.ask()
    assert not await cached.hits()


async def test_cache_of_a_store_that_is_away_is_empty(embedded_state: State) -> None:
    cached = Cached(embedded_state)
    await cached.ask()
    for _ in range(10):
        embedded_state.breaker.failed()
    assert not await cached.hits()


async def test_entry_expires(embedded_state: State) -> None:
    await Cached(embedded_state, ttl_s=7).ask()
    [key] = [key async for key in embedded_state.redis.scan_iter(match=f"{embedded_state.prefix}answer*")]
    assert 0 < await embedded_state.redis.ttl(key) <= 7


def test_normal_form_keeps_what_matters() -> None:
    assert normal_form("ＡＰＩ 연동은 되나요?") == normal_form("api 연동은 되나요")
    assert normal_form("반품 되나요") != normal_form("반품 안 되나요")


def test_version_moves_with_settings_but_not_with_keys() -> None:
    settings = Settings()
    same = settings.model_copy(deep=True)
    openai = settings.providers.endpoints["openai"]

    def with_openai(**update: object) -> Settings:
        endpoints = settings.providers.endpoints | {"openai": openai.model_copy(update=update)}
        providers = settings.providers.model_copy(update={"endpoints": endpoints})
        return settings.model_copy(update={"providers": providers})

    more = settings.conversation.model_copy(update={"passages": 7})
    assert answer_version(settings) == answer_version(same)
    assert answer_version(settings) != answer_version(settings.model_copy(update={"conversation": more}))
    assert answer_version(settings) != answer_version(with_openai(base_url="http://127.0.0.1/v1"))
    assert answer_version(settings) == answer_version(with_openai(api_key="다른 열쇠"))


@pytest.mark.parametrize("file", ["api/turn.py", "retrieval/rank.py", "configs/prompts/chat.md"])
def test_answers_belong_to_the_code_and_the_prompts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    monkeypatch.setattr("api.conversation.answer_cache.ROOT", tmp_path)
    monkeypatch.setattr("api.conversation.answer_cache.CONFIGS", tmp_path / "configs")
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text("하나")
    before = answer_version(Settings())
    (tmp_path / file).write_text("둘")
    assert answer_version(Settings()) != before


def test_repeated_question_over_http_says_that_it_was_cached(client: httpx.Client) -> None:
    first, second = (ask(client, "반품 배송비는 누가 내야 하나요?")[-1].data for _ in range(2))
    assert (first["cached"], second["cached"]) == (False, True)
    assert second["answer"] == first["answer"]
    # Nothing was searched, judged or written for it.
    assert {"embed", "search", "verdict", "answer"} <= set(first["timings_ms"])
    assert set(second["timings_ms"]) == {"cache", "first_delta", "total"}
