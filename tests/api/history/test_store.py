"""One contract of the history over SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect, text

from api.errors import HistoryUnavailable
from api.history.database import database_url, open_database, upgrade
from api.history.store import History, TurnFilter
from api.history.tables import metadata


def row(turn_id: str, **fields: Any) -> dict[str, Any]:
    """A turn as the writer makes it."""
    return {
        "id": turn_id, "session_id": "s_1", "owner": "local", "channel": "api",
        "question": "정산은 언제 되나요?",
        "standalone": "정산은 언제 되나요?", "answer": "다음 날입니다[1].", "status": "completed",
        "verdict": "answered", "error": "", "provider": "extractive", "model": "faq", "build": "b1",
        "cached": False, "started_ms": 1_000, "ended_ms": 1_200, "sources": [{"n": 1, "faq_id": "f"}],
        "final": {"type": "turn.completed", "new_field": {"p": 0.5}}, "events": [{"type": "turn.started"}],
    } | fields  # fmt: skip


async def test_turn_is_read_back_whole_and_written_once(history: History) -> None:
    await history.record([row("t1"), row("t2")])
    await history.record([row("t1", question="다른 질문"), row("t3")])
    assert await history.count() == 3
    found = await history.turn("t1")
    assert found is not None
    assert {name: found[name] for name in row("t1")} == row("t1")
    assert found["rating"] is None
    assert await history.turn("nobody") is None


async def test_answers_tell_what_was_wrong_with_them(history: History) -> None:
    final = {"faults": ["uncited"], "ungrounded": ["수수료는 9%입니다."], "truncated": True}
    await history.record([row("1", final=final), row("2", started_ms=2_000)])
    without, wrong = await history.answers()
    assert {name: wrong[name] for name in final} == final
    assert {name: without[name] for name in final} == dict.fromkeys(final)
    assert "events" not in wrong


async def test_schema_of_the_revisions_is_that_of_the_tables(history: History) -> None:
    await upgrade(history.engine)

    def columns(connection: Any) -> dict[str, set[str]]:
        found = inspect(connection)
        return {name: {c["name"] for c in found.get_columns(name)} for name in metadata.tables}

    async with history.engine.connect() as connection:
        there = await connection.run_sync(columns)
    assert there == {name: set(table.columns.keys()) for name, table in metadata.tables.items()}


async def test_processes_that_upgrade_together_wait_for_each_other(database: str) -> None:
    url = database_url(database, default=Path("unused"))
    async with open_database(url) as one, open_database(url) as other:
        await asyncio.gather(upgrade(one), upgrade(other), upgrade(one))
        await asyncio.gather(History(one).record([row("t1")]), History(other).record([row("t1"), row("t2")]))
        assert await History(one).count() == 2


@pytest.mark.parametrize(
    ("chosen", "ids"),
    [
        (TurnFilter(), "54321"),
        (TurnFilter(verdict="not_found"), "2"),
        (TurnFilter(verdict="failed"), "3"),
        (TurnFilter(rating="down"), "2"),
        (TurnFilter(rating="any"), "21"),
        (TurnFilter(rating="none"), "543"),
        (TurnFilter(since_ms=2_000, until_ms=4_000), "32"),
        (TurnFilter(text="100%_"), "4"),
        (TurnFilter(text="aPi"), "5"),
        (TurnFilter(provider="openai", session_id="s_2"), "5"),
        (TurnFilter(text="없는 말"), ""),
    ],
)
async def test_filters_choose(history: History, chosen: TurnFilter, ids: str) -> None:
    await history.record([
        row("1"),
        row("2", verdict="not_found", started_ms=2_000),
        row("3", verdict="", status="failed", error="provider_error", started_ms=3_000),
        row("4", question="할인 100%_까지", started_ms=4_000),
        row("5", answer="API로 됩니다", provider="openai", session_id="s_2", started_ms=5_000),
    ])  # fmt: skip
    await history.rate("1", "up", session_id="s_1")
    await history.rate("2", "down", session_id="s_1")
    found = [turn["id"] for turn in await history.turns(chosen)]
    assert "".join(found) == ids
    assert await history.count(chosen) == len(ids)
    assert [turn["id"] async for turn in history.every(chosen)] == found


async def test_pages_follow_each_other_without_gap_even_at_one_time(history: History) -> None:
    await history.record([row(f"t{n:02}", started_ms=1_000 + n // 7) for n in range(40)])
    seen: list[str] = []
    before = None
    while page := await history.turns(limit=9, before=before):
        seen += [turn["id"] for turn in page]
        before = page[-1]["started_ms"], page[-1]["id"]
    assert seen == sorted(seen, reverse=True)
    assert len(seen) == 40


async def test_rating_is_changed_and_taken_back_and_its_comment_masked(history: History) -> None:
    await history.record([row("t1")])
    await history.rate("t1", "up", session_id="s_1")
    await history.rate("t1", "down", session_id="s_1", reason="wrong", comment="010-1234-5678로 연락 주세요")
    found = await history.turn("t1")
    assert found is not None
    assert (found["rating"], found["reason"]) == ("down", "wrong")
    assert found["comment"] == "[전화번호]로 연락 주세요"
    assert set(await history.ratings("s_1")) == {"t1"}
    await history.unrate("t1")
    assert await history.ratings("s_1") == {}


async def test_erasing_leaves_other_sessions_and_later_turns(history: History) -> None:
    await history.record([row("t1"), row("t2", session_id="s_2"), row("t3", session_id="s_2", started_ms=9)])
    await history.rate("t1", "up", session_id="s_1")
    assert await history.owns_session("s_1", "local")
    assert await history.erase_session("s_1") == 1
    assert not await history.owns_session("s_1", "local")
    assert await history.ratings("s_1") == {}
    assert await history.erase_before(10) == 1
    assert [turn["id"] for turn in await history.turns()] == ["t2"]


async def test_database_that_is_away_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "folder.db").mkdir()
    async with open_database(f"sqlite+aiosqlite:///{tmp_path}/folder.db") as engine:
        with pytest.raises(HistoryUnavailable):
            await History(engine).count()
        with pytest.raises(HistoryUnavailable):
            await upgrade(engine)
    async with open_database("postgresql+asyncpg://nobody@127.0.0.1:1/none") as engine:
        with pytest.raises(HistoryUnavailable):
            await History(engine).record([row("t1")])


async def test_sqlite_file_is_written_ahead(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/new/history.db"
    async with open_database(url) as engine, engine.connect() as connection:
        assert (await connection.execute(text("PRAGMA journal_mode"))).scalar() == "wal"


def test_url_names_its_database() -> None:
    assert database_url("", default=Path("/a/h.db")) == "sqlite+aiosqlite:////a/h.db"
    assert database_url("postgresql://u:p@h/n", default=Path("x")) == "postgresql+asyncpg://u:p@h/n"
    for url in ("mysql://h/n", "no url"):
        with pytest.raises(ValueError, match=r"history\.url"):
            database_url(url, default=Path("x"))
