"""Several servers of one provider: who gets a request, and what becomes of it when one of them fails."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from api.errors import ProviderError, ProviderTimeout
from api.providers.breaker import BreakerOpen, CircuitBreaker
from api.providers.choice import Providers
from api.providers.openai.pool import Upstream as Pool
from api.providers.openai.provider import OpenAICompatible
from api.providers.openai.upstreams import Upstreams
from api.settings import Endpoint, load_settings
from api.state.connection import State
from tests.api.live import serve
from tests.api.providers.provider_kit import OPTIONS, collect, prompt, seen, until
from tests.api.providers.upstream import ANSWER, MODEL, PIECES, Upstream, upstream, upstream_in_thread

SESSIONS = [f"세션 {n}" for n in range(40)]


@asynccontextmanager
async def over(
    *urls: str, state: State | None = None, failures: int = 3, **pool: Any
) -> AsyncIterator[OpenAICompatible]:
    """A provider with these servers."""
    settings = Endpoint(
        base_url=urls, model=MODEL, third_party=False, first_token_timeout_s=5.0, max_retries=0
    )
    breaker = CircuitBreaker(state, failures=failures, open_s=0.5, longest_s=0.5) if state else None
    async with AsyncExitStack() as stack:
        pools = [await stack.enter_async_context(Pool("small", url, **pool)) for url in settings.base_urls]
        yield OpenAICompatible("small", settings, Upstreams("small", pools, breaker=breaker))


async def answer(provider: OpenAICompatible, session: str | None = None) -> str:
    """One whole answer."""
    texts, _ = await collect(provider.stream(prompt(), replace(OPTIONS, session=session)))
    return "".join(texts)


async def asked_by_session(
    provider: OpenAICompatible, servers: list[Upstream], sessions: list[str]
) -> dict[str, set[int]]:
    """Which servers each session's answers came from."""
    seen: dict[str, set[int]] = {session: set() for session in sessions}
    for session in sessions:
        before = [len(server.requests) for server in servers]
        assert await answer(provider, session) == ANSWER
        seen[session] |= {n for n, each in enumerate(servers) if len(each.requests) > before[n]}
    return seen


async def test_a_session_stays_with_its_server() -> None:
    async with upstream() as one, upstream() as two, over(one.url(), two.url()) as provider:
        first = await asked_by_session(provider, [one, two], SESSIONS)
        again = await asked_by_session(provider, [one, two], SESSIONS)
    assert first == again
    assert Counter(len(servers) for servers in first.values()) == {1: len(SESSIONS)}
    assert {0, 1} == set.union(*first.values())


async def test_only_the_sessions_of_a_server_that_is_gone_move() -> None:
    async with upstream() as one, upstream() as two, AsyncExitStack() as third:
        three = await third.enter_async_context(upstream())
        servers = [one, two, three]
        async with over(*(server.url() for server in servers)) as provider:
            before = await asked_by_session(provider, servers, SESSIONS)
            await third.aclose()
            after = await asked_by_session(provider, [one, two], SESSIONS)
    moved = {session for session in SESSIONS if before[session] != after[session]}
    assert moved == {session for session in SESSIONS if before[session] == {2}}


async def test_a_full_server_leaves_a_session_to_another() -> None:
    async with upstream(piece_s=0.2) as one, upstream(piece_s=0.2) as two, AsyncExitStack() as stack:
        provider = await stack.enter_async_context(over(one.url(), two.url()))
        await asyncio.gather(*(answer(provider, "한 세션") for _ in range(16)))
        await asyncio.gather(*(answer(provider, "한 세션") for _ in range(4)))
    assert {len(one.requests), len(two.requests)} == {10 + 4, 6}


async def test_a_rush_is_shared_while_the_breaker_is_asked(embedded_state: State) -> None:
    async with upstream(piece_s=0.2) as one, upstream(piece_s=0.2) as two, AsyncExitStack() as stack:
        provider = await stack.enter_async_context(over(one.url(), two.url(), state=embedded_state))
        breaker = provider.upstreams.breaker
        assert breaker is not None
        # With a failure in its record, every request asks the store about this server.
        await breaker.failed(provider.upstreams.servers[0].key)
        await asyncio.gather(*(answer(provider, session) for session in SESSIONS))
        assert all(server.outstanding == 0 for server in provider.upstreams.servers)
    assert len(one.requests) + len(two.requests) == 40
    assert min(len(one.requests), len(two.requests)) >= 14


async def test_without_a_session_the_least_busy_server_is_asked() -> None:
    async with upstream(piece_s=0.2) as one, upstream(piece_s=0.2) as two, AsyncExitStack() as stack:
        provider = await stack.enter_async_context(over(one.url(), two.url()))
        await asyncio.gather(*(answer(provider) for _ in range(12)))
    assert len(one.requests) == len(two.requests) == 6


async def test_no_server_is_blamed_for_connections_of_our_own_that_are_all_in_use(
    embedded_state: State,
) -> None:
    async with upstream(piece_s=0.2) as one, upstream(piece_s=0.2) as two, AsyncExitStack() as stack:
        urls = (one.url(), two.url())
        short = {"max_connections": 1, "connect_timeout_s": 0.1}
        provider = await stack.enter_async_context(over(*urls, state=embedded_state, failures=1, **short))
        answers = await asyncio.gather(*(answer(provider) for _ in range(6)), return_exceptions=True)
        assert {answer for answer in answers if isinstance(answer, str)} == {ANSWER}
        assert {type(answer) for answer in answers} == {str, ProviderTimeout}
        assert not any(server.rests or server.failed_lately for server in provider.upstreams.servers)


@pytest.mark.parametrize("fault", ["500", "429", "cut", "malformed"])
async def test_a_server_that_fails_before_the_first_token_is_followed_by_another(fault: str) -> None:
    async with upstream() as one, upstream() as two, over(one.url(fault), two.url()) as provider:
        for session in SESSIONS[:10]:
            assert await answer(provider, session) == ANSWER
        outcomes = [server.counts for server in provider.upstreams.servers]
    assert outcomes[0]["answered"] == 0
    assert outcomes[0]["failed"] == len(one.requests) >= 1
    assert outcomes[1] == {"answered": 10}


async def test_a_server_that_is_gone_is_left_alone_at_once_and_comes_back(embedded_state: State) -> None:
    async with AsyncExitStack() as first, upstream() as two:
        one = await first.enter_async_context(upstream())
        async with over(one.url(), two.url(), state=embedded_state, failures=5) as provider:
            gone, breaker = provider.upstreams.servers[0], provider.upstreams.breaker
            assert breaker is not None
            await first.aclose()
            for session in SESSIONS:
                assert await answer(provider, session) == ANSWER
            assert gone.counts == {"failed": 1}
            assert (await breaker.readings([gone.key]))[gone.key].position != "closed"
            async with upstream(port=one.port) as back:
                await until(lambda: not gone.rests)
                async with asyncio.timeout(60):
                    while not back.requests:
                        assert await answer(provider, SESSIONS[len(two.requests) % 40]) == ANSWER
                assert (await breaker.readings([gone.key]))[gone.key].position == "closed"


async def test_a_server_that_does_not_tell_its_models_gets_no_turn_after_a_rest(
    embedded_state: State,
) -> None:
    gone = "http://127.0.0.1:9/v1"
    async with upstream() as two, over(gone, two.url(), state=embedded_state, failures=1) as provider:
        server = provider.upstreams.servers[0]
        for _ in range(3):
            for session in SESSIONS:
                assert await answer(provider, session) == ANSWER
            await until(lambda: not server.rests)
        assert server.counts == {"failed": 1}


async def test_nobody_is_asked_while_every_server_rests(embedded_state: State) -> None:
    async with upstream() as one, upstream() as two:
        urls = (one.url("500"), two.url("500"))
        async with over(*urls, state=embedded_state, failures=1) as provider:
            with pytest.raises(ProviderError, match="HTTP 500"):
                await answer(provider)
            with pytest.raises(BreakerOpen) as caught:
                await answer(provider)
    assert (caught.value.retry_after or 0) > 0
    assert len(one.requests) == len(two.requests) == 1


async def test_an_answer_that_breaks_off_begins_again_at_another_server_and_says_so() -> None:
    async with upstream() as one, upstream() as two, over(one.url("cut", "after"), two.url()) as provider:
        providers = Providers({"small": provider}, default="small", upstreams={"small": provider.upstreams})
        texts, switches = [], []
        for session in SESSIONS[:10]:
            text, said = await seen(providers, "small", replace(OPTIONS, session=session))
            texts.append(text)
            switches += said
    assert texts == [ANSWER] * 10
    assert len(switches) == len(one.requests) >= 1
    assert {(s.from_, s.to, s.silent) for s in switches} == {("small", "small", False)}


def test_the_gateway_and_the_page_of_providers_know_every_server(data_dir: Path) -> None:
    with upstream_in_thread() as one, upstream_in_thread() as cut:
        urls = {"PAIR": f"http://127.0.0.1:9/v1, {one.url()}", "CUT": f"{cut.url('cut')},{one.url('500')}"}
        settings = {}
        for name, url in urls.items():
            prefix = f"SMARTSTORE_PROVIDERS__ENDPOINTS__{name}__"
            settings |= {f"{prefix}BASE_URL": url, f"{prefix}MODEL": MODEL, f"{prefix}THIRD_PARTY": "false"}
        with serve(data_dir, **settings) as live, live.client() as http:
            for n in range(8):
                body = {
                    "model": "pair/x",
                    "messages": [{"role": "user", "content": f"질문 {n}"}],
                    "stream": True,
                }
                response = http.post("/v1/chat/completions", json=body)
                assert response.status_code == 200
                assert all(json.dumps(piece, ensure_ascii=False) in response.text for piece in PIECES)
            for n in range(8):
                body = {
                    "model": "cut/x",
                    "messages": [{"role": "user", "content": f"질문 {n}"}],
                    "stream": True,
                }
                http.post("/v1/chat/completions", json=body)
            asked = len(one.requests) + len(cut.requests)
            listed = {each["name"]: each for each in http.get("/providers").json()["providers"]}
            metrics = http.get("/metrics").text
    # A request that a server may have begun goes to no second one, whatever became of it.
    assert asked == 16
    pair = listed["pair"]
    assert (pair["healthy"], pair["breaker"]) == (True, "closed")
    assert [each["healthy"] for each in pair["servers"]] == [False, True]
    assert pair["servers"][0]["breaker"] != "closed"
    assert "http://127.0.0.1:9/v1: " in pair["detail"]
    assert listed["extractive"]["servers"] == []
    counted = (
        f'smartstore_server_requests_total{{outcome="answered",provider="pair",server="{one.url()}"}} 8.0'
    )
    assert counted in metrics
    assert 'smartstore_server_resting{provider="pair",server="http://127.0.0.1:9/v1"} 1.0' in metrics


def test_settings_name_several_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    urls = ("http://a/v1", "http://b/v1")
    assert Endpoint(base_url=["http://a/v1/", "http://b/v1"], model="m").base_urls == urls
    monkeypatch.setenv("SMARTSTORE_PROVIDERS__ENDPOINTS__VLLM__BASE_URL", "http://a/v1, http://b/v1")
    assert load_settings().providers.endpoints["vllm"].base_urls == urls
    monkeypatch.setenv("SMARTSTORE_PROVIDERS__ENDPOINTS__VLLM__BASE_URL", '["http://a/v1", "http://b/v1"]')
    assert load_settings().providers.endpoints["vllm"].base_urls == urls


@pytest.mark.parametrize("urls", [[], ["http://a/v1", "http://a/v1/"], "http://a/v1,", ["http://a/v1", "b"]])
def test_a_server_that_is_missing_or_named_twice_is_refused(urls: object) -> None:
    with pytest.raises(ValidationError, match="base_url"):
        Endpoint(base_url=urls, model="m")
