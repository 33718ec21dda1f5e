"""API keys: what is stored, what is recognised, what they may use."""

from __future__ import annotations

import asyncio
import time

import pytest

from api.access.keys import PREFIX, Key, Keys, parse_scopes
from api.access.rate_limits import RateLimits, TurnSlots
from api.errors import InvalidRequest, NotFound, StateUnavailable, TooMany
from api.state.connection import State

CHAT = parse_scopes("chat")


async def test_keys_are_recognised_until_they_are_revoked(state: State) -> None:
    keys = Keys(state)
    assert not await keys.exist()
    key, text = await keys.create("주문 상담 앱", parse_scopes("chat, raw"), per_minute=5, concurrent_turns=2)
    assert await Keys(state).recognise(text) == key
    assert await keys.exist()
    assert [each.name for each in await keys.list()] == ["주문 상담 앱"]
    await keys.revoke(key.id)
    assert await keys.recognise(text) is None
    assert await Keys(state).recognise(text) is None
    with pytest.raises(NotFound):
        await keys.revoke(key.id)


async def test_keys_store_no_secret(embedded_state: State) -> None:
    _, text = await Keys(embedded_state).create("앱", CHAT)
    secret = text.rpartition("_")[2]
    names = [name async for name in embedded_state.redis.scan_iter(match=f"{embedded_state.prefix}*")]
    stored = [
        str(await embedded_state.redis.hgetall(n))
        for n in names
        if await embedded_state.redis.type(n) == "hash"
    ]
    assert stored
    assert secret not in "".join(names + stored)


@pytest.mark.parametrize(
    "spoil", [lambda t: t[:-1] + "!", lambda t: t + "x", lambda t: "sk-" + t, lambda t: ""]
)
async def test_keys_that_differ_are_unknown(embedded_state: State, spoil: object) -> None:
    keys = Keys(embedded_state)
    _, text = await keys.create("앱", CHAT)
    assert await keys.recognise(spoil(text)) is None  # type: ignore[operator]


@pytest.mark.parametrize(
    "text", ["", "sk-other", f"{PREFIX}abc", f"{PREFIX}a-b_c", f"{PREFIX}abc_{'x' * 128}"]
)
async def test_what_can_be_no_key_is_unknown_without_the_store(embedded_state: State, text: str) -> None:
    for _ in range(100):
        embedded_state.breaker.failed()
    assert await Keys(embedded_state).recognise(text) is None
    with pytest.raises(StateUnavailable):
        await Keys(embedded_state).recognise(f"{PREFIX}abc_x")


async def test_admin_key_of_the_settings_has_every_scope(embedded_state: State) -> None:
    keys = Keys(embedded_state, admin_secret="a" * 32)
    found = await keys.recognise("a" * 32)
    assert found is not None
    assert found.scopes == {"chat", "raw", "history", "admin"}
    assert await keys.exist()
    assert await keys.recognise("a" * 31 + "b") is None


@pytest.mark.parametrize("text", ["", "chat,root", ","])
def test_unknown_scopes_are_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="valid: chat, raw, history, admin"):
        parse_scopes(text)


async def test_rate_limit_is_shared_and_never_exceeded(state: State) -> None:
    key = Key("k_1", "앱", CHAT, per_minute=60)
    processes = [RateLimits(state) for _ in range(3)]
    results = await asyncio.gather(*(processes[n % 3].take(key) for n in range(120)), return_exceptions=True)
    refused = [r for r in results if isinstance(r, TooMany)]
    assert 48 <= 120 - len(refused) <= 61
    assert all(0 < (r.retry_after or 0) <= 1.0 for r in refused)


async def test_rate_limit_refills(embedded_state: State) -> None:
    key, rates = Key("k_1", "앱", CHAT, per_minute=600), RateLimits(embedded_state)
    taken = await asyncio.gather(*(rates.take(key) for _ in range(700)), return_exceptions=True)
    waits = [refused.retry_after or 0 for refused in taken if isinstance(refused, TooMany)]
    assert waits
    await asyncio.sleep(waits[-1] + 0.05)
    await rates.take(key)


async def test_keys_without_limits_ask_nobody(embedded_state: State) -> None:
    key = Key("k_1", "앱", CHAT)
    await RateLimits(embedded_state).take(key)
    await TurnSlots(embedded_state, turn_s=60).enter(key, "t_1")
    assert not [name async for name in embedded_state.redis.scan_iter(match=f"{embedded_state.prefix}*")]


async def test_turn_slots_are_free_again_when_turns_have_ended(state: State) -> None:
    key, slots = Key("k_1", "앱", CHAT, concurrent_turns=2), TurnSlots(state, turn_s=60)
    for turn in ("t_1", "t_2"):
        await slots.enter(key, turn)
        await state.redis.hset(state.key("turn", turn), mapping={"last": 3})
    with pytest.raises(TooMany) as refused:
        await TurnSlots(state, turn_s=60).enter(key, "t_3")
    assert refused.value.retry_after
    await slots.enter(key, "t_2")
    await state.redis.hset(state.key("turn", "t_1"), "final", "1")
    await slots.enter(key, "t_3")
    with pytest.raises(TooMany):
        await slots.enter(key, "t_4")


async def test_a_turn_counts_before_its_record_is_written(embedded_state: State) -> None:
    key, slots = Key("k_1", "앱", CHAT, concurrent_turns=1), TurnSlots(embedded_state, turn_s=60)
    await slots.enter(key, "t_1")
    with pytest.raises(TooMany):
        await slots.enter(key, "t_2")
    await slots.leave(key, "t_1")
    await slots.enter(key, "t_2")
    # Six seconds later there is still none: it never began.
    await embedded_state.redis.zincrby(embedded_state.key("slots", key.id), -6000, "t_2")
    await slots.enter(key, "t_3")


async def test_turn_slots_of_lost_turns_expire(embedded_state: State) -> None:
    key, slots = Key("k_1", "앱", CHAT, concurrent_turns=1), TurnSlots(embedded_state, turn_s=0.2)
    await slots.enter(key, "t_1")
    await asyncio.sleep(0.3)
    await slots.enter(key, "t_2")


async def test_revoked_key_is_unknown_at_once_where_it_was_revoked(embedded_state: State) -> None:
    keys = Keys(embedded_state)
    key, text = await keys.create("앱", CHAT)
    assert await keys.recognise(text) == key
    await keys.revoke(key.id)
    assert await keys.recognise(text) is None


async def test_known_key_is_trusted_while_the_store_is_away(embedded_state: State) -> None:
    keys = Keys(embedded_state)
    key, text = await keys.create("앱", CHAT)
    assert await keys.recognise(text) == key
    digest = next(iter(keys._known))
    keys._known[digest] = time.monotonic() - 30, key
    for _ in range(100):
        embedded_state.breaker.failed()
    assert await keys.valid(key)
    assert await keys.recognise(text) == key
    # To be asked for does not prolong it.
    assert time.monotonic() - keys._known[digest][0] >= 30
    keys._known[digest] = time.monotonic() - 61, key
    with pytest.raises(StateUnavailable):
        await keys.recognise(text)


async def test_unused_permits_are_lost_after_their_time(embedded_state: State) -> None:
    key = Key("k_1", "앱", CHAT, per_minute=100)
    limits = RateLimits(embedded_state)
    await limits.take(key)
    held = limits._held[key.id]
    assert held.left == 4
    held.until = time.monotonic() - 1
    await limits.take(key)
    assert limits._held[key.id] is not held
