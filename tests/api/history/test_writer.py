"""Ended turns reach the history: after crashes, absences and erasures, each once, masked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from api.errors import HistoryUnavailable
from api.events import Delta, QuestionRewritten, TurnCompleted, TurnEvent, TurnStarted
from api.history.database import open_database, upgrade
from api.history.entry import entry
from api.history.outbox import Outbox
from api.history.store import History
from api.history.writer import HistoryWriter
from api.state.connection import State
from api.turns.answering import Answering
from api.turns.records import TURNS, TurnRecords
from api.turns.run import run_turn
from api.turns.runners.base import TurnRequest
from api.turns.saved import new_turn_id
from api.turns.sessions import Sessions
from api.turns.signals import Signals
from api.work.event_log import EventLog
from tests.api.history.conftest import Postgres
from tests.api.turns.turn_kit import ANSWER, OWNER, ScriptedConversation

PERSONAL = "900101-1234567, 010-1234-5678, 110-123-456789, 123-45-67890, 1234-5678-9012-3456, a.b@example.com"
KINDS = ("[주민등록번호]", "[전화번호]", "[계좌번호]", "[사업자등록번호]", "[카드번호]", "[이메일]")


class Rig:
    """One process: turns that tell the outbox, and the writer behind them."""

    def __init__(self, state: State, history: History, *, look_after_s: float = 60.0) -> None:
        self.outbox = Outbox(state, look_after_s=look_after_s, max_waiting=1000, ttl_s=600)
        self.sessions = Sessions(state)
        log = EventLog(state, TURNS, look_s=0.2, on_end=self.outbox.ended)
        self.turns = TurnRecords(
            state, log, self.sessions, lease_s=0.3, patience_s=0.1, on_begin=self.outbox.begun
        )
        self.signals = Signals(state, self.turns.stop_channel)
        self.history = history
        self.writer = HistoryWriter(history, self.outbox, state, self.turns, retention_days=0)

    async def begin(self, question: str = "미성년자도 되나요?", session_id: str = "") -> TurnRequest:
        request = TurnRequest(new_turn_id(), session_id, question, "extractive", channel="widget")
        await self.turns.begin(request, owner=OWNER)
        return request

    async def run(self, request: TurnRequest, conversation: Any = None) -> str:
        answers = conversation or ScriptedConversation()
        await run_turn(request, answering=Answering(answers), turns=self.turns, signals=self.signals)
        return request.turn_id


@asynccontextmanager
async def rig(state: State, folder: Path, **options: Any) -> AsyncIterator[Rig]:
    async with open_database(f"sqlite+aiosqlite:///{folder}/history.db") as engine:
        await upgrade(engine)
        opened = Rig(state, History(engine), **options)
        yield opened
        await opened.signals.aclose()


async def test_ended_turn_is_written_once_with_its_times_and_events(state: State, tmp_path: Path) -> None:
    async with rig(state, tmp_path) as one:
        session = await one.sessions.create(owner=OWNER)
        turn_id = await one.run(await one.begin(session_id=session.session_id))
        assert await one.writer.drain() == 1
        assert await one.writer.drain() == 0
        assert await one.outbox.waiting() == 0
        await one.outbox.ended(turn_id)
        assert await one.writer.drain() == 1
        found = await one.history.turn(turn_id)
        assert found is not None
        assert (found["answer"], found["owner"], found["channel"]) == (ANSWER, OWNER, "widget")
        assert found["session_id"] == session.session_id
        assert [event["type"] for event in found["events"]] == [
            "turn.started", "sources", "delta", "suggestions", "turn.completed",
        ]  # fmt: skip
        assert 0 < found["started_ms"] <= found["ended_ms"]
        assert await one.history.count() == 1


async def test_turn_whose_process_was_killed_is_closed_and_written(
    embedded_state: State, tmp_path: Path
) -> None:
    async with rig(embedded_state, tmp_path, look_after_s=0.0) as one:
        request = await one.begin()
        slow = asyncio.create_task(one.run(request, ScriptedConversation(pause_s=60)))
        async for number, _ in one.turns.follow(request.turn_id):
            if number == 2:
                break
        slow.cancel()
        await asyncio.gather(slow, return_exceptions=True)
        await asyncio.sleep(0.5)  # past the lease and the patience: its runner counts as dead
        assert await one.writer.drain() == 1
        assert await one.writer.drain() == 1
        found = await one.history.turn(request.turn_id)
        assert found is not None
        assert (found["status"], found["error"]) == ("failed", "interrupted")


async def test_turn_that_still_runs_waits_for_its_end(embedded_state: State, tmp_path: Path) -> None:
    async with rig(embedded_state, tmp_path, look_after_s=0.0) as one:
        request = await one.begin()
        claim = await one.turns.claim(request.turn_id)
        assert claim is not None
        assert await one.writer.drain() == 1
        assert (await one.history.count(), await one.outbox.waiting()) == (0, 1)


async def test_nothing_is_lost_while_the_database_is_away(embedded_state: State, postgres: Postgres) -> None:
    url = postgres.database().replace("postgresql:", "postgresql+asyncpg:")
    async with open_database(url) as engine:
        await upgrade(engine)
        one = Rig(embedded_state, History(engine))
        ids = [await one.run(await one.begin())]
        await one.writer.drain()
        postgres.stop()
        ids += [await one.run(await one.begin()) for _ in range(3)]
        with pytest.raises(HistoryUnavailable):
            await one.writer.drain()
        assert await one.outbox.waiting() == 3
        postgres.start()
        for turn_id in ids[1:]:
            await one.outbox.ended(turn_id)
        await one.writer.drain()
        assert sorted(turn["id"] for turn in await one.history.turns()) == sorted(ids)
        await one.signals.aclose()


async def test_writer_that_was_killed_leaves_its_batch_to_the_next(
    embedded_state: State, tmp_path: Path
) -> None:
    async with rig(embedded_state, tmp_path) as one:
        await one.run(await one.begin())
        claimed = await one.outbox.claim(10, lease_s=0.05)
        assert claimed[0] == len(claimed[1]) == 1
        assert await one.writer.drain() == 0
        await asyncio.sleep(0.1)  # the dead writer's claim runs out
        assert await one.writer.drain() == 1
        assert await one.history.count() == 1


async def test_erased_session_is_erased_though_its_turns_are_still_to_be_written(
    embedded_state: State, tmp_path: Path
) -> None:
    async with rig(embedded_state, tmp_path) as one:
        session = await one.sessions.create(owner=OWNER)
        written = await one.run(await one.begin(session_id=session.session_id))
        await one.writer.drain()
        await one.history.rate(written, "down", session_id=session.session_id)
        await one.run(await one.begin(session_id=session.session_id))
        await one.turns.delete_session(session.session_id, owner=OWNER)
        await one.outbox.erase(session.session_id)
        await one.writer.drain()
        assert await one.history.count() == 0
        assert await one.history.ratings(session.session_id) == {}


async def test_outbox_over_its_bound_drops_the_oldest(embedded_state: State) -> None:
    outbox = Outbox(embedded_state, look_after_s=9, max_waiting=3, ttl_s=60)
    for n in range(5):
        await outbox.put(f"t{n}", after_s=n)
    assert await outbox.waiting() == 3


async def test_personal_data_of_six_kinds_is_masked_everywhere(embedded_state: State, tmp_path: Path) -> None:
    class Telling:
        async def answer(self, request: TurnRequest, memory: Any) -> AsyncIterator[TurnEvent]:
            yield TurnStarted(turn_id=request.turn_id, session_id="", provider="p", model="m")
            yield QuestionRewritten(standalone=f"다시: {PERSONAL}")
            for start in range(0, len(PERSONAL), 7):
                yield Delta(text=PERSONAL[start : start + 7])
            yield TurnCompleted(answer=PERSONAL, verdict="answered", provider="p", index="123456789012")

    async with rig(embedded_state, tmp_path) as one:
        turn_id = await one.run(await one.begin(f"제 번호는 {PERSONAL}"), Telling())
        await one.writer.drain()
        found = await one.history.turn(turn_id)
        assert found is not None
        text = str(found)
        assert [kind for kind in KINDS if kind not in found["question"]] == []
        assert [kind for kind in KINDS if kind not in found["answer"]] == []
        assert [part for part in PERSONAL.split(", ") if part in text] == []
        assert found["build"] == "123456789012"


def test_entry_keeps_fields_that_it_does_not_know() -> None:
    record = {"request": '{"question": "가", "provider": "p"}', "begun_ms": "5", "ended_ms": "9"}
    final = '{"type": "turn.completed", "answer": "나\\u0000", "verdict": "unsure", "chances": {"a": 0.4}}'
    found = entry("t1", record, ['{"type": "later.event", "wish": "person"}', final])
    assert found is not None
    assert (found["verdict"], found["answer"], found["ended_ms"]) == ("unsure", "나\ufffd", 9)
    assert found["final"]["chances"] == {"a": 0.4}
    assert found["events"][0] == {"type": "later.event", "wish": "person"}
    assert entry("t2", record, ['{"type": "delta", "text": "가"}']) is None
