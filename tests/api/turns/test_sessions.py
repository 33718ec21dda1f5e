"""Sessions: bounds, order, idempotence."""

from __future__ import annotations

import pytest

from api.errors import NotFound
from api.events import Source, TurnCompleted
from api.state.connection import State
from api.turns.saved import SavedTurn, new_turn_id, now
from api.turns.sessions import Sessions, memory_of


def answered(question: str, *, turn_id: str = "", answer: str = "네, 됩니다[1].") -> SavedTurn:
    final = TurnCompleted(answer=answer, verdict="answered", citations=(1,))
    return SavedTurn(
        turn_id=turn_id or new_turn_id(),
        question=question,
        status="completed",
        answer=answer,
        verdict="answered",
        citations=(1,),
        sources=(Source(n=1, faq_id="f1", question="되나요?", score=0.8),),
        started_at=now(),
        final=final,
    )


async def test_sessions_keep_a_bounded_number_of_turns(embedded_state: State) -> None:
    sessions = Sessions(embedded_state, max_turns=3)
    session_id = (await sessions.create(owner="a")).session_id
    asked = [new_turn_id() for _ in range(5)]
    for number, turn_id in enumerate(asked):
        await sessions.save_turn(session_id, answered(f"질문 {number}", turn_id=turn_id))
    wider = Sessions(embedded_state, max_turns=100)
    assert [turn.question for turn in await wider.turns(session_id)] == ["질문 2", "질문 3", "질문 4"]
    kept = [await sessions.saved_turn(session_id, turn_id) for turn_id in asked]
    assert [turn is not None for turn in kept] == [False, False, True, True, True]
    memory = memory_of(await sessions.turns(session_id), 2)
    assert [turn.question for turn in memory.turns] == ["질문 3", "질문 4"]
    assert memory_of(await sessions.turns(session_id), 0).turns == ()


async def test_sessions_keep_the_order_of_asking(embedded_state: State) -> None:
    sessions = Sessions(embedded_state)
    session_id = (await sessions.create(owner="a")).session_id
    slow, quick = new_turn_id(), new_turn_id()
    await sessions.save_turn(session_id, SavedTurn(turn_id=slow, question="먼저", started_at=now()))
    await sessions.save_turn(session_id, SavedTurn(turn_id=quick, question="나중", started_at=now()))
    await sessions.save_turn(session_id, answered("나중", turn_id=quick))
    assert [turn.question for turn in memory_of(await sessions.turns(session_id), 5).turns] == ["나중"]
    await sessions.save_turn(session_id, answered("먼저", turn_id=slow))
    assert [turn.question for turn in await sessions.turns(session_id)] == ["먼저", "나중"]


async def test_sessions_never_change_an_ended_turn(embedded_state: State) -> None:
    sessions = Sessions(embedded_state)
    session_id = (await sessions.create(owner="a")).session_id
    first = answered("질문", answer="처음 답")
    assert await sessions.save_turn(session_id, first)
    assert not await sessions.save_turn(session_id, answered("질문", turn_id=first.turn_id, answer="다른 답"))
    assert [turn.answer for turn in await sessions.turns(session_id)] == ["처음 답"]


async def test_sessions_stay_deleted(embedded_state: State) -> None:
    sessions = Sessions(embedded_state)
    session_id = (await sessions.create(owner="a")).session_id
    await sessions.delete(session_id, owner="a")
    assert not await sessions.save_turn(session_id, answered("늦은 답"))
    assert await sessions.turns(session_id) == []


async def test_sessions_remember_the_chosen_provider(embedded_state: State) -> None:
    sessions = Sessions(embedded_state)
    session_id = (await sessions.create(owner="a", provider="extractive")).session_id
    await sessions.choose_provider(session_id, "qwen", owner="a")
    assert (await sessions.get(session_id, owner="a")).provider == "qwen"


async def test_a_session_is_changed_and_deleted_by_its_owner_alone(embedded_state: State) -> None:
    sessions = Sessions(embedded_state)
    session_id = (await sessions.create(owner="a", provider="extractive")).session_id
    with pytest.raises(NotFound):
        await sessions.choose_provider(session_id, "openai", owner="b")
    with pytest.raises(NotFound):
        await sessions.delete(session_id, owner="b")
    assert (await sessions.get(session_id, owner="a")).provider == "extractive"
