"""Fallback, circuit breaker, counts and health over real servers and a real state store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

import pytest

from api.errors import ProviderError, UnknownProvider
from api.events import Usage
from api.providers.breaker import BreakerOpen, CircuitBreaker
from api.providers.choice import Providers
from api.providers.health import HealthProbes
from api.providers.stats import ProviderStats, open_stats
from api.state.connection import State
from tests.api.providers.provider_kit import OPTIONS, endpoint, prompt, providers_for, seen, until
from tests.api.providers.upstream import ANSWER, FAULTS, Upstream, upstream

OPEN_S = 1.5


@pytest.fixture
async def server() -> AsyncIterator[Upstream]:
    async with upstream() as running:
        yield running


@asynccontextmanager
async def opened(
    server: Upstream,
    *,
    bad: Sequence[tuple[str, str]] = (("500", "before"),),
    good: bool = True,
    state: State | None = None,
    failures: int = 3,
) -> AsyncIterator[Providers]:
    """Providers `bad0`, `bad1` … with faults, then `good`, each standing in for those before it."""
    endpoints = {f"bad{n}": endpoint(server, *path) for n, path in enumerate(bad)}
    if good:
        endpoints["good"] = endpoint(server, first_token_timeout_s=10.0)
    async with AsyncExitStack() as stack:
        found = await stack.enter_async_context(providers_for(endpoints))
        breaker = CircuitBreaker(state, failures=failures, open_s=OPEN_S) if state else None
        stats = await stack.enter_async_context(open_stats(state)) if state else None
        yield Providers(found, default="bad0", fallback=tuple(endpoints), breaker=breaker, stats=stats)


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != "endless"])
async def test_fallback_is_silent_before_the_first_piece_and_told_after_it(
    server: Upstream, fault: str
) -> None:
    for phase, silent in (("before", True), ("after", False)):
        async with opened(server, bad=[(fault, phase)]) as providers:
            text, switches = await seen(providers, "bad0")
        assert text == ANSWER
        assert [(s.from_, s.to, s.silent) for s in switches] == [("bad0", "good", silent)]


async def test_fallback_goes_down_the_list(server: Upstream) -> None:
    async with opened(server, bad=[("500", "before"), ("cut", "after"), ("429", "before")]) as providers:
        text, switches = await seen(providers, "bad0")
    assert text == ANSWER
    assert [s.to for s in switches] == ["bad1", "bad2", "good"]
    assert [s.silent for s in switches] == [True, False, True]


async def test_last_error_is_raised_where_nobody_is_left(server: Upstream) -> None:
    async with opened(server, good=False) as providers:
        with pytest.raises(ProviderError, match="HTTP 500"):
            await seen(providers, "bad0")


async def test_unknown_name_lists_the_valid_ones(server: Upstream) -> None:
    async with opened(server) as providers:
        with pytest.raises(UnknownProvider, match="bad0, good"):
            providers.get("없는 이름")


async def test_breaker_opens_spares_the_provider_and_closes_after_one_probe(
    state: State, server: Upstream
) -> None:
    async with opened(server, state=state, failures=3) as providers:
        assert providers.breaker is not None
        for _ in range(6):
            assert (await seen(providers, "bad0"))[0] == ANSWER
        asked = sum("/500/" in each.path for each in server.requests)
        assert asked == 3
        assert (await providers.breaker.readings(["bad0"]))["bad0"].position == "open"
        _, switches = await seen(providers, "bad0")
        assert [s.reason for s in switches] == ["provider_unavailable"]
        server.healed = True
        await asyncio.sleep(OPEN_S + 0.1)
        assert await seen(providers, "bad0") == (ANSWER, [])
        assert (await providers.breaker.readings(["bad0"]))["bad0"].position == "closed"


async def test_failed_probe_opens_the_breaker_for_twice_as_long(embedded_state: State) -> None:
    breaker = CircuitBreaker(embedded_state, failures=1, open_s=0.2)
    await breaker.failed("먼 곳")
    first = (await breaker.readings(["먼 곳"]))["먼 곳"].wait_s
    await asyncio.sleep(0.25)
    await breaker.enter("먼 곳")
    with pytest.raises(BreakerOpen):
        await breaker.enter("먼 곳")
    await breaker.failed("먼 곳")
    second = (await breaker.readings(["먼 곳"]))["먼 곳"].wait_s
    assert 0.1 < first <= 0.2 < second <= 0.4


async def test_breaker_is_shared_by_processes(embedded_state: State) -> None:
    here, there = (CircuitBreaker(embedded_state, failures=2, open_s=5.0) for _ in range(2))
    await here.failed("gpt")
    await there.failed("gpt")
    for breaker in (here, there):
        with pytest.raises(BreakerOpen) as caught:
            await breaker.enter("gpt")
        assert 4 < (caught.value.retry_after or 0) <= 5


async def test_one_probe_at_a_time_and_a_left_one_makes_room(embedded_state: State) -> None:
    one, other = (CircuitBreaker(embedded_state, failures=1, open_s=0.05) for _ in range(2))
    await one.failed("gpt")
    await asyncio.sleep(0.1)
    await one.enter("gpt")
    with pytest.raises(BreakerOpen):
        await other.enter("gpt")
    await one.left("gpt")
    await other.enter("gpt")


async def test_refused_requests_do_not_open_the_breaker(embedded_state: State, server: Upstream) -> None:
    async with opened(server, state=embedded_state, failures=1) as providers:
        bad = providers.get("bad0")
        vars(bad)["third_party"] = True  # without a key, that is refused
        for _ in range(3):
            assert (await seen(providers, "bad0"))[0] == ANSWER
        assert providers.breaker is not None
        assert (await providers.breaker.readings(["bad0"]))["bad0"].position == "closed"


async def test_breaker_lets_calls_through_while_the_store_is_away(embedded_state: State) -> None:
    breaker = CircuitBreaker(embedded_state, failures=1)
    await breaker.failed("gpt")
    for _ in range(10):
        embedded_state.breaker.failed()
    await breaker.enter("gpt")


async def test_counts_of_two_processes_add_up(state: State, server: Upstream) -> None:
    async with opened(server, state=state) as one, opened(server, state=state) as two:
        for providers in (one, two, two):
            await seen(providers, "bad0")
        assert one.stats is not None
        assert two.stats is not None
        await two.stats.flush()
        records = await one.stats.read(["bad0", "good"])
    good, bad = records["good"], records["bad0"]
    assert (good.outcomes["answered"], bad.outcomes["failed"]) == (3, 3)
    assert (good.prompt_tokens, good.completion_tokens) == (3000, 600)
    assert good.first_token is not None
    assert good.first_token.count == 3
    assert bad.first_token is None


async def test_stopped_answer_is_counted_with_its_estimated_cost(
    embedded_state: State, server: Upstream
) -> None:
    server.piece_s = 0.2
    async with opened(server, state=embedded_state) as providers:
        async with aclosing(providers.stream("good", prompt(), OPTIONS)) as stream:
            await anext(stream)
        assert providers.stats is not None
        record = (await providers.stats.read(["good"]))["good"]
        assert await until(lambda: not server.streaming) < 0.3
    assert record.outcomes["left"] == 1
    assert record.completion_tokens > 0


async def test_percentiles_are_within_a_tenth(embedded_state: State) -> None:
    stats = ProviderStats(embedded_state)
    for number in range(1, 101):
        stats.record("gpt", "answered", usage=Usage(cost_usd=0.001), total_s=number / 100)
    record = (await stats.read(["gpt"]))["gpt"]
    assert record.total is not None
    assert record.total.p50_ms == pytest.approx(500, rel=0.1)
    assert record.total.p95_ms == pytest.approx(950, rel=0.1)
    assert record.cost_usd == pytest.approx(0.1)


async def test_health_is_asked_once_and_an_old_finding_is_told_meanwhile() -> None:
    asked: list[str] = []

    async def probe() -> None:
        asked.append("probe")
        await asyncio.sleep(0.05)
        if len(asked) > 1:
            raise ProviderError("gpt", "지금은 쉽니다.")

    health = HealthProbes({"gpt": probe}, fresh_s=0.2)
    found = await asyncio.gather(*(health.read() for _ in range(5)))
    assert [each["gpt"].healthy for each in found] == [True] * 5
    assert len(asked) == 1
    await asyncio.sleep(0.25)
    assert (await health.read())["gpt"].healthy
    await asyncio.sleep(0.1)
    now = (await health.read())["gpt"]
    assert (now.healthy, now.detail) == (False, "지금은 쉽니다.")
    await health.aclose()
