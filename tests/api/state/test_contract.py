"""One contract over every kind of state store: embedded Valkey, Redis, Redis cluster."""

from __future__ import annotations

import asyncio
import secrets

import pytest

from api.errors import Conflict, InvalidRequest, NotFound
from api.events import Delta, TurnCompleted, TurnFailed
from api.state.connection import State
from api.turns.runners.base import TurnRequest
from api.turns.saved import SavedTurn, new_session_id, new_turn_id, now
from api.turns.sessions import memory_of
from api.work.kinds import LeaseLost
from api.work.scripts import CLAIM
from tests.api.turns.turn_kit import ANSWER, OWNER, ScriptedConversation, process


def request_for(session_id: str, question: str = "배송비는 어떻게 정하나요?") -> TurnRequest:
    return TurnRequest(new_turn_id(), session_id, question, "extractive", trace={"traceparent": "00-1"})


async def test_turn_runs_replays_and_is_saved(state: State) -> None:
    async with process(state) as one:
        session = await one.sessions.create(owner=OWNER)
        turn_id = await one.ask(session.session_id)
        live = await one.events(turn_id)
        assert [n for n, _ in live] == list(range(1, 10))
        assert live[-1][1].type == "turn.completed"
        assert await one.events(turn_id, after=4) == live[4:]
        assert await one.events(turn_id, after=9) == []
        [saved] = await one.turns.history(session.session_id, owner=OWNER)
        assert (saved.answer, saved.status, saved.sources[0].faq_id) == (ANSWER, "completed", "faq-7")
        memory = memory_of([saved], 5)
        assert memory.turns[0].answered == ("faq-7",)
        assert memory.turns[0].suggested == ("faq-8",)


async def test_turn_followed_in_another_process_gets_every_event_once(state: State) -> None:
    slow = ScriptedConversation(pause_s=0.05)
    async with process(state, slow) as one, process(state) as other:
        turn_id = await one.ask("")
        first, second, late = await asyncio.gather(
            one.events(turn_id), other.events(turn_id), other.events(turn_id, after=3)
        )
        assert first == second
        assert late == first[3:]


async def test_stop_from_another_process_ends_the_turn_before_its_next_piece(state: State) -> None:
    slow = ScriptedConversation(pause_s=2)
    async with process(state, slow, lease_s=30) as one, process(state) as other:
        session = await one.sessions.create(owner=OWNER)
        turn_id = await one.ask(session.session_id)
        async for _, event in other.turns.follow(turn_id):
            if event.type == "delta":
                await other.runner.stop(turn_id)
            if isinstance(event, TurnCompleted):
                final = event
        assert final.stopped
        assert final.answer == "만 14세 "
        assert slow.closed == [turn_id]
        [saved] = await one.turns.history(session.session_id, owner=OWNER)
        assert (saved.status, saved.answer) == ("stopped", "만 14세 ")
        assert await one.turns.status(turn_id) == "stopped"


async def test_every_key_has_a_time_to_live(state: State) -> None:
    async with process(state, ScriptedConversation(pause_s=0.05)) as one:
        session = await one.sessions.create(owner=OWNER, provider="extractive")
        request = request_for(session.session_id)
        await one.turns.begin(request, owner=OWNER, idempotency_key="키-1", fingerprint="a")
        await one.runner.start(request)
        await one.ask("")
        await one.runner.stop(request.turn_id)
        seen: set[str] = set()
        for _ in range(8):
            for key in [key async for key in state.redis.scan_iter(match=f"{state.prefix}*")]:
                seen.add(key)
                assert await state.redis.ttl(key) != -1, key
            await asyncio.sleep(0.05)
        assert len(seen) >= 8


async def test_log_repeated_append_changes_nothing(state: State) -> None:
    async with process(state) as one:
        request = request_for("")
        await one.turns.begin(request, owner=OWNER)
        assert await one.log.append(request.turn_id, 1, Delta(text="가"))
        assert not await one.log.append(request.turn_id, 1, Delta(text="나"))
        assert await one.log.append_all(request.turn_id, 1, [Delta(text="다"), Delta(text="라")])
        assert [e.text for _, e in await one.log.read(request.turn_id) if isinstance(e, Delta)] == [
            "가",
            "라",
        ]
        assert await one.log.last(request.turn_id) == 2
        with pytest.raises(ValueError, match="gap"):
            await one.log.append(request.turn_id, 9, Delta(text="마"))


async def test_log_takes_nothing_after_the_end_or_from_a_lost_lease(state: State) -> None:
    async with process(state, lease_s=0.2) as one:
        request = request_for("")
        await one.turns.begin(request, owner=OWNER)
        first = await one.turns.claim(request.turn_id)
        assert first is not None
        await one.log.append(request.turn_id, 1, Delta(text="가"), token=first.token)
        with pytest.raises(LeaseLost):
            await one.turns.claim(request.turn_id, wait=False)
        second = await one.turns.claim(request.turn_id)
        assert second is not None
        assert second.last == 1
        with pytest.raises(LeaseLost):
            await one.log.append(request.turn_id, 2, Delta(text="나"), token=first.token)
        end = TurnFailed(code="x", message="끝", retryable=False)
        await one.log.append(request.turn_id, 2, end, token=second.token)
        with pytest.raises(LeaseLost):
            await one.log.append(request.turn_id, 3, Delta(text="다"), token=second.token)
        assert await one.turns.claim(request.turn_id) is None


async def test_a_claim_that_is_sent_twice_is_one(state: State) -> None:
    claims = state.script(CLAIM)
    async with process(state) as one:
        request = request_for("")
        await one.turns.begin(request, owner=OWNER)
        key = one.log.keys(request.turn_id)[0]
        for _ in range(2):
            assert await claims(keys=[key], args=["mine", 6_000]) == [1, 0, 0]
        assert await state.call(state.redis.hget(key, "attempts")) == "1"  # type: ignore[arg-type]
        assert (await claims(keys=[key], args=["another", 6_000]))[0] == 2
        assert (await claims(keys=[key], args=["another", 6_000, "dead"]))[0] == 2


async def test_a_step_is_carried_out_once_beside_one_that_is_new_to_the_store(state: State) -> None:
    key = state.key("test", "steps")
    count = state.script("return redis.call('INCR', KEYS[1])")
    assert await count(keys=[key], args=[]) == 1
    new = state.script(f"return '{secrets.token_hex(8)}'")
    counted, _ = await asyncio.gather(count(keys=[key], args=[]), new(keys=[key], args=[]))
    assert counted == 2


async def test_dead_runner_is_closed_as_interrupted(state: State) -> None:
    async with process(state, lease_s=0.3) as one, process(state, lease_s=0.3) as other:
        session = await one.sessions.create(owner=OWNER)
        request = request_for(session.session_id)
        await one.turns.begin(request, owner=OWNER)
        claim = await one.turns.claim(request.turn_id)
        assert claim is not None
        await one.log.append(request.turn_id, 1, Delta(text="답변을 쓰다가"), token=claim.token)
        followed = await asyncio.gather(one.events(request.turn_id), other.events(request.turn_id))
        assert followed[0] == followed[1]
        assert [n for n, _ in followed[0]] == [1, 2]
        final = followed[0][-1][1]
        assert isinstance(final, TurnFailed)
        assert (final.code, final.retryable) == ("interrupted", True)
        [saved] = await one.turns.history(session.session_id, owner=OWNER)
        assert saved.status == "failed"


async def test_turn_saved_before_its_runner_died_gets_its_saved_end(state: State) -> None:
    async with process(state, lease_s=0.2) as one:
        session = await one.sessions.create(owner=OWNER)
        request = request_for(session.session_id)
        await one.turns.begin(request, owner=OWNER)
        claim = await one.turns.claim(request.turn_id)
        assert claim is not None
        await one.log.append(request.turn_id, 1, Delta(text="다 썼다"), token=claim.token)
        final = TurnCompleted(answer="다 썼다", verdict="answered")
        record = SavedTurn(turn_id=request.turn_id, question=request.question, started_at=now(), final=final)
        assert await one.sessions.save_turn(session.session_id, record)
        assert [event for _, event in await one.events(request.turn_id)][-1] == final


async def test_session_is_its_owners_alone(state: State) -> None:
    async with process(state) as one:
        session = await one.sessions.create(owner=OWNER)
        assert (await one.sessions.get(session.session_id, owner=OWNER)).owner == OWNER
        with pytest.raises(NotFound):
            await one.sessions.get(session.session_id, owner="key-2")
        with pytest.raises(NotFound):
            await one.sessions.delete(session.session_id, owner="key-2")
        with pytest.raises(NotFound):
            await one.sessions.get(new_session_id(), owner=OWNER)
        for bad in ("", "s_짧음", "s_" + "a" * 25, "s_{" + "a" * 23, "../etc/passwd"):
            with pytest.raises(InvalidRequest):
                await one.sessions.get(bad, owner=OWNER)
        turn_id = await one.ask(session.session_id)
        await one.events(turn_id)
        with pytest.raises(NotFound):
            await one.turns.status(turn_id, owner="key-2")
        await one.turns.delete_session(session.session_id, owner=OWNER)
        with pytest.raises(NotFound):
            await one.turns.history(session.session_id, owner=OWNER)
        with pytest.raises(NotFound):
            await one.events(turn_id)
        assert [key async for key in state.redis.scan_iter(match=f"{state.prefix}*")] == []


async def test_idempotency_key_finds_the_same_turn(state: State) -> None:
    async with process(state) as one:
        first, second = request_for(""), request_for("")
        keys = {"owner": OWNER, "idempotency_key": "주문-1"}
        assert (await one.turns.begin(first, **keys, fingerprint="a")).created
        again = await one.turns.begin(second, **keys, fingerprint="a")
        assert (again.created, again.turn_id) == (False, first.turn_id)
        with pytest.raises(Conflict):
            await one.turns.begin(request_for(""), **keys, fingerprint="b")
        other = await one.turns.begin(second, owner="key-2", idempotency_key="주문-1", fingerprint="b")
        assert other.created


async def test_request_survives_the_store(state: State) -> None:
    async with process(state) as one:
        request = TurnRequest(new_turn_id(), "", "환불은요?", "qwen", history=(("안녕", "네"),))
        await one.turns.begin(request, owner=OWNER)
        assert await one.turns.request(request.turn_id) == request


async def test_unknown_turn_is_not_found(state: State) -> None:
    async with process(state) as one:
        for turn_id in (new_turn_id(), "없는-턴", "t_{x}"):
            with pytest.raises(NotFound):
                await one.events(turn_id)
            await one.runner.stop(turn_id)
