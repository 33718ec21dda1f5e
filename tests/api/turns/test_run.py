"""Running turns: redelivery, failures, bounds, stop, drain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from api.conversation.memory import Memory
from api.errors import Conflict, NotFound, Overloaded, ProviderError
from api.events import Delta, ProviderSwitched, Source, Sources, TurnCompleted, TurnEvent, TurnFailed
from api.observability.metrics import Metrics
from api.state.connection import State
from api.turns.answering import Answering
from api.turns.run import RunLimits, run_turn
from api.turns.runners.base import TurnRequest
from api.turns.saved import new_turn_id
from api.turns.sessions import memory_of
from api.turns.transcript import Transcript
from tests.api.turns.turn_kit import ANSWER, OWNER, PIECES, Process, ScriptedConversation, process


class FailingConversation(ScriptedConversation):
    """Shows one piece, then raises `error`."""

    error: BaseException = ValueError("각본에 없는 일")

    async def answer(self, request: TurnRequest, memory: Memory) -> AsyncIterator[TurnEvent]:
        yield Delta(text="여기까지")
        raise self.error


def shown(events: list[tuple[int, TurnEvent]]) -> str:
    """The text a reader has in front of them at the end."""
    text = ""
    for _, event in events:
        if isinstance(event, ProviderSwitched):
            text = ""
        if isinstance(event, Delta):
            text += event.text
    return text


def request_for(session_id: str) -> TurnRequest:
    return TurnRequest(new_turn_id(), session_id, "미성년자도 가입 가능한가요?", "extractive")


async def run(
    one: Process, request: TurnRequest, conversation: ScriptedConversation, **limits: float
) -> None:
    await run_turn(
        request,
        answering=Answering(conversation),
        turns=one.turns,
        signals=one.signals,
        limits=RunLimits(**limits),
    )


def test_a_stopped_turn_cites_the_sources_that_it_showed() -> None:
    transcript = Transcript(request_for("s_1"))
    transcript.add(Delta(text="한도는 없습니다 [2]. 수수료는 [1] [7"))
    assert (transcript.stopped().verdict, transcript.stopped().citations) == ("not_found", ())
    known = [Source(n=n, faq_id=f"{n}", question="제목", score=1.0) for n in (1, 2)]
    transcript.add(Sources(sources=tuple(known)))
    transcript.add(Delta(text="]"))
    end = transcript.stopped()
    assert (end.verdict, end.citations, end.stopped) == ("answered", (2, 1), True)
    assert end.answer == transcript.text


async def test_second_run_of_a_finished_turn_does_nothing(embedded_state: State) -> None:
    async with process(embedded_state) as one:
        session = await one.sessions.create(owner=OWNER)
        request, conversation = request_for(session.session_id), ScriptedConversation()
        await one.turns.begin(request, owner=OWNER)
        await run(one, request, conversation)
        before = await one.events(request.turn_id)
        await run(one, request, conversation)
        assert conversation.begun == 1
        assert await one.events(request.turn_id) == before
        assert len(await one.sessions.turns(session.session_id)) == 1


async def test_second_run_of_a_half_written_turn_never_doubles_text(embedded_state: State) -> None:
    async with process(embedded_state) as one, process(embedded_state) as other:
        session = await one.sessions.create(owner=OWNER)
        request = request_for(session.session_id)
        await one.turns.begin(request, owner=OWNER)
        reader = asyncio.create_task(other.events(request.turn_id))
        first = asyncio.create_task(run(one, request, ScriptedConversation(pause_s=0.1)))
        await asyncio.sleep(0.25)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await run(other, request, ScriptedConversation())
        events = await reader
        assert [n for n, _ in events] == list(range(1, len(events) + 1))
        assert shown(events) == ANSWER
        assert [e.reason for _, e in events if isinstance(e, ProviderSwitched)] == ["worker_lost"]
        assert [e.type for _, e in events].count("turn.started") == 1
        assert [turn.answer for turn in await one.sessions.turns(session.session_id)] == [ANSWER]


async def test_two_runs_at_once_answer_once(embedded_state: State) -> None:
    async with process(embedded_state) as one, process(embedded_state) as other:
        request, conversation = request_for(""), ScriptedConversation(pause_s=0.05)
        await one.turns.begin(request, owner=OWNER)
        await asyncio.gather(run(one, request, conversation), run(other, request, conversation))
        assert conversation.begun == 1
        assert shown(await one.events(request.turn_id)) == ANSWER


async def test_run_whose_lease_was_taken_writes_no_more(embedded_state: State) -> None:
    async with process(embedded_state, lease_s=0.3) as one:
        request, slow = request_for(""), ScriptedConversation(pause_s=0.2)
        await one.turns.begin(request, owner=OWNER)
        first = asyncio.create_task(run(one, request, slow))
        await asyncio.sleep(0.25)
        key = embedded_state.key("turn", request.turn_id)
        await embedded_state.redis.hset(key, mapping={"token": "somebody else", "lease_until": 0})
        with pytest.raises(Exception, match="another run"):
            await first
        assert slow.closed == [request.turn_id]
        assert shown(await one.events(request.turn_id)) != ANSWER


async def test_error_of_the_conversation_becomes_the_closing_event(embedded_state: State) -> None:
    async with process(embedded_state) as one:
        session = await one.sessions.create(owner=OWNER)
        conversation = FailingConversation()
        for error, code in (
            (ProviderError("qwen", "모델이 응답하지 않습니다."), "provider_error"),
            (NotFound("그런 FAQ가 없습니다."), "not_found"),
            (ValueError("비밀"), "internal_error"),
            (asyncio.CancelledError(), "internal_error"),
        ):
            conversation.error = error
            request = request_for(session.session_id)
            await one.turns.begin(request, owner=OWNER)
            await run(one, request, conversation)
            final = (await one.events(request.turn_id))[-1][1]
            assert isinstance(final, TurnFailed)
            assert final.code == code
            assert "비밀" not in final.message
            assert final.retryable or code != "internal_error"
        turns = await one.turns.history(session.session_id, owner=OWNER)
        assert {turn.status for turn in turns} == {"failed"}
        assert memory_of(turns, 9).turns == ()


async def test_saved_text_is_the_text_that_was_shown(embedded_state: State) -> None:
    class Liar(ScriptedConversation):
        async def answer(self, request: TurnRequest, memory: Memory) -> AsyncIterator[TurnEvent]:
            yield Delta(text="보인 답")
            yield TurnCompleted(answer="다른 답", verdict="answered")

    async with process(embedded_state) as one:
        session = await one.sessions.create(owner=OWNER)
        request = request_for(session.session_id)
        await one.turns.begin(request, owner=OWNER)
        await run(one, request, Liar())
        final = (await one.events(request.turn_id))[-1][1]
        [saved] = await one.sessions.turns(session.session_id)
        assert isinstance(final, TurnCompleted)
        assert final.answer == saved.answer == "보인 답"


async def test_turn_is_saved_before_its_end_is_seen(embedded_state: State) -> None:
    async with process(embedded_state) as one:
        session = await one.sessions.create(owner=OWNER)
        for _ in range(10):
            turn_id = await one.ask(session.session_id)
            async for _, event in one.turns.follow(turn_id):
                if event.type == "turn.completed":
                    saved = await one.sessions.saved_turn(session.session_id, turn_id)
                    assert saved is not None
                    assert saved.answer == ANSWER


async def test_silent_conversation_fails_after_the_step_bound(embedded_state: State) -> None:
    async with process(embedded_state, lease_s=0.3) as one:
        request, silent = request_for(""), ScriptedConversation(pause_s=30)
        await one.turns.begin(request, owner=OWNER)
        await run(one, request, silent, step_s=0.3)
        final = (await one.events(request.turn_id))[-1][1]
        assert isinstance(final, TurnFailed)
        assert (final.code, final.retryable) == ("provider_timeout", True)
        assert silent.closed == [request.turn_id]


async def test_endless_conversation_fails_after_the_turn_bound(embedded_state: State) -> None:
    async with process(embedded_state, lease_s=0.3) as one:
        request, endless = request_for(""), ScriptedConversation(pause_s=0.05, pieces=("또 ",) * 500)
        await one.turns.begin(request, owner=OWNER)
        await run(one, request, endless, turn_s=0.5)
        final = (await one.events(request.turn_id))[-1][1]
        assert isinstance(final, TurnFailed)
        assert endless.closed == [request.turn_id]


async def test_abandoned_turn_ends_unless_somebody_follows(embedded_state: State) -> None:
    limits = RunLimits(unfollowed_s=0.6)
    slow = ScriptedConversation(pause_s=0.05, pieces=("가",) * 60)
    async with (
        process(embedded_state, slow, limits=limits, lease_s=0.3) as one,
        process(embedded_state) as other,
    ):
        left, here, elsewhere = await one.ask(""), await one.ask(""), await one.ask("")
        reading = asyncio.gather(one.events(here), other.events(elsewhere))
        finals = [events[-1][1] for events in await reading]
        assert [final.stopped for final in finals if isinstance(final, TurnCompleted)] == [False, False]
        end = (await one.events(left))[-1][1]
        assert isinstance(end, TurnCompleted)
        assert end.stopped
        assert 0 < len(end.answer) < 60


async def test_runner_refuses_above_its_bound_and_forgets_the_turn(embedded_state: State) -> None:
    async with process(embedded_state, ScriptedConversation(pause_s=0.05), max_turns=1) as one:
        session = await one.sessions.create(owner=OWNER)
        running = await one.ask(session.session_id)
        refused = request_for(session.session_id)
        keys = {"owner": OWNER, "idempotency_key": "다시", "fingerprint": "a"}
        await one.turns.begin(refused, **keys)
        with pytest.raises(Overloaded) as caught:
            await one.runner.start(refused)
        assert caught.value.retry_after
        await one.events(running)
        assert [turn.turn_id for turn in await one.sessions.turns(session.session_id)] == [running]
        again = request_for(session.session_id)
        assert (await one.turns.begin(again, **keys)).created
        await one.runner.start(again)
        assert shown(await one.events(again.turn_id)) == ANSWER
        repeated = await one.turns.begin(request_for(session.session_id), **keys)
        assert (repeated.turn_id, repeated.created) == (again.turn_id, False)
        with pytest.raises(Conflict):
            await one.turns.begin(request_for(session.session_id), **keys | {"fingerprint": "b"})


async def test_an_end_is_for_the_owner_alone_and_only_when_it_has_come(embedded_state: State) -> None:
    async with process(embedded_state, ScriptedConversation(pause_s=20)) as one:
        session = await one.sessions.create(owner=OWNER)
        turn_id = await one.ask(session.session_id)
        with pytest.raises(Conflict):
            await one.turns.ended(turn_id, owner=OWNER)
        await one.runner.stop(turn_id)
        *_, (_, final) = await one.events(turn_id)
        assert await one.turns.ended(turn_id, owner=OWNER) == (session.session_id, final)
        assert await one.turns.status(turn_id, owner=OWNER) == "stopped"
        for look in (one.turns.ended, one.turns.status):
            with pytest.raises(NotFound):
                await look(turn_id, owner="k_other")


async def test_drain_waits_then_closes_what_is_left(
    embedded_state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    # They are told to end, and need not be cut off.
    monkeypatch.setattr("api.turns.runners.inline.INTERRUPT_S", 3600)
    quick, slow = ScriptedConversation(pause_s=0.02), ScriptedConversation(pause_s=20)
    async with process(embedded_state, quick) as one, process(embedded_state, slow) as other:
        finishing, cut = await one.ask(""), await other.ask("")
        await asyncio.gather(one.runner.drain(5), other.runner.drain(0.1))
        assert shown(await one.events(finishing)) == ANSWER
        final = (await other.events(cut))[-1][1]
        assert isinstance(final, TurnFailed)
        assert final.code == "interrupted"
        with pytest.raises(Overloaded):
            await one.ask("")


async def test_drain_leaves_no_turn_that_does_not_listen(
    embedded_state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.turns.runners.inline.INTERRUPT_S", 0.0)
    async with process(embedded_state, ScriptedConversation(pause_s=20)) as one:
        turn_id = await one.ask("")
        monkeypatch.setattr(one.signals, "send", lambda *_: True)
        await one.runner.drain(0.0)
        assert one.runner.running == 0
        assert isinstance((await one.events(turn_id))[-1][1], TurnFailed)


async def test_turn_stopped_before_it_runs_ends_at_once(embedded_state: State) -> None:
    async with process(embedded_state) as one:
        request, conversation = request_for(""), ScriptedConversation(pause_s=5)
        await one.turns.begin(request, owner=OWNER)
        await one.turns.stop(request.turn_id)
        await run(one, request, conversation)
        final = (await one.events(request.turn_id))[-1][1]
        assert isinstance(final, TurnCompleted)
        assert (final.stopped, final.answer) == (True, "")


async def test_memory_reaches_the_next_turn_and_given_history_replaces_it(embedded_state: State) -> None:
    conversation = ScriptedConversation()
    async with process(embedded_state, conversation) as one:
        session = await one.sessions.create(owner=OWNER)
        for question in ("미성년자도 되나요?", "그럼 서류는요?"):
            await one.events(await one.ask(session.session_id, question))
        assert [turn.question for turn in conversation.memories[1].turns] == ["미성년자도 되나요?"]
        given = TurnRequest(new_turn_id(), "", "환불은?", "extractive", history=(("안녕하세요", "네"),))
        await one.turns.begin(given, owner=OWNER)
        await run(one, given, conversation)
        assert [turn.question for turn in conversation.memories[2].turns] == ["안녕하세요"]


async def test_200_turns_at_once_each_end_once(embedded_state: State) -> None:
    conversation = ScriptedConversation(pause_s=0.02)
    async with process(embedded_state, conversation, lease_s=6) as one, process(embedded_state) as other:

        async def ask(number: int) -> str:
            turn_id = await one.ask("", f"질문 {number}")
            reader = other if number % 2 else one
            events = await reader.events(turn_id)
            assert [n for n, _ in events] == list(range(1, len(PIECES) + 5))
            return shown(events)

        assert set(await asyncio.gather(*(ask(number) for number in range(200)))) == {ANSWER}
        assert conversation.begun == 200
        await one.runner.drain(2)
        assert one.runner.running == 0


async def test_observers_see_how_every_turn_ends(embedded_state: State) -> None:
    metrics = Metrics()
    for conversation in (ScriptedConversation(), FailingConversation()):
        async with process(embedded_state, conversation, observers=(metrics.turn,)) as one:
            request = request_for("")
            await one.turns.begin(request, owner=OWNER)
            await one.runner.start(request)
            await one.events(request.turn_id)
    value = metrics.registry.get_sample_value
    assert value("smartstore_turn_errors_total", {"code": "internal_error"}) == 1
    assert value("smartstore_turns_total", {"provider": "", "verdict": "answered"}) == 1
    assert value("smartstore_turns_running") == 0
