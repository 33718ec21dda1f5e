"""Writes ended turns into the history, behind them: reads the outbox, the records and the event logs.

Any process may run one, and several may at once; a turn that is written twice is written once.
While the database is away the outbox grows, up to its bound. Knows nothing of how a turn is run.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import structlog
from sqlalchemy.exc import DBAPIError

from api.errors import ApiError, HistoryUnavailable, NotFound, StateUnavailable
from api.history.database import upgrade
from api.history.entry import Row, entry
from api.history.outbox import ERASE, Outbox
from api.history.store import History
from api.state.connection import State
from api.turns.records import TurnRecords
from api.work.background import background

log = structlog.get_logger(__name__)
_MOST = 100
_LEASE_S = 30.0
_LOOK_S = 0.5
_AWAY_S = 5.0
_RETENTION_S = 3600.0
_NEAR = 0.8


class HistoryWriter:
    """Drains the outbox into the history."""

    def __init__(
        self, history: History, outbox: Outbox, state: State, turns: TurnRecords, *, retention_days: int
    ) -> None:
        """`retention_days`: older turns are removed; 0 keeps them."""
        self._history, self._outbox, self._state, self._turns = history, outbox, state, turns
        self._retention_days = retention_days
        self._swept = self._warned = 0.0

    async def run(self) -> None:
        """Drains for ever."""
        pause, upgraded = 0.0, False
        while True:
            await asyncio.sleep(pause)
            try:
                if not upgraded:
                    await upgrade(self._history.engine)
                    upgraded = True
                moved = await self.drain()
                await self._sweep()
                # A full batch is followed by the next at once; else what comes now is gathered.
                pause = 0.0 if moved >= _MOST else _LOOK_S
            except StateUnavailable:
                pause = _AWAY_S
            except HistoryUnavailable:
                pause = _AWAY_S
            except Exception:
                # The edge of the process: the writer must not die of one row.
                log.exception("history.writer_failed")
                pause = _AWAY_S

    async def drain(self) -> int:
        """Writes one batch of what is due; returns how many were taken up.

        Raises:
            HistoryUnavailable: the database is away; the batch falls due again.
        """
        waiting, members = await self._outbox.claim(_MOST, lease_s=_LEASE_S)
        self._warn(waiting)
        if not members:
            return 0
        try:
            erasures = [member for member in members if member.startswith(ERASE)]
            written = await self._write([m for m in members if not m.startswith(ERASE)])
            for member in erasures:
                if await self._erase(member):
                    written.append(member)
        except HistoryUnavailable:
            for member in members:
                await self._outbox.put(member, after_s=_AWAY_S)
            raise
        await self._outbox.done(written)
        return len(members)

    async def _write(self, turn_ids: list[str]) -> list[str]:
        """Writes these turns; returns those that need no further look."""
        rows, done = [], []
        for turn_id, record, texts, alive in await self._read(turn_ids):
            if not record or not alive:
                done.append(turn_id)  # refused, expired, or its session was deleted
            elif (row := _entry(turn_id, record, texts)) is not None:
                rows.append(row)
            elif record.get("final"):
                log.error("history.unreadable_turn", turn_id=turn_id)
                done.append(turn_id)
            else:
                await self._look_later(turn_id)
        await self._record(rows)
        return done + [row["id"] for row in rows]

    async def _record(self, rows: list[Row]) -> None:
        try:
            await self._history.record(rows)
        except HistoryUnavailable as exc:
            if not _refused(exc) or len(rows) < 2:
                if _refused(exc):
                    log.error("history.row_refused", turn_id=rows[0]["id"], error=str(exc.__cause__)[:300])
                    return
                raise
            for row in rows:
                await self._record([row])

    async def _read(self, turn_ids: list[str]) -> list[tuple[str, dict[str, str], list[str], bool]]:
        """Record, events and whether the session is still there, of each turn."""
        if not turn_ids:
            return []
        key = self._state.key
        pipe = self._state.redis.pipeline(transaction=False)
        for turn_id in turn_ids:
            pipe.hgetall(key("turn", turn_id))
            pipe.xrange(key("turn", turn_id, "log"))
        answers: list[Any] = await self._state.call(pipe.execute())
        records = dict(zip(turn_ids, answers[::2], strict=True))
        logs = dict(zip(turn_ids, answers[1::2], strict=True))
        sessions = {record["session"] for record in records.values() if record and record.get("session")}
        gone = await self._gone(sorted(sessions))
        return [
            (turn_id, records[turn_id], [fields["e"] for _, fields in logs[turn_id]],
             records[turn_id].get("session", "") not in gone)
            for turn_id in turn_ids
        ]  # fmt: skip

    async def _gone(self, session_ids: list[str]) -> set[str]:
        if not session_ids:
            return set()
        pipe = self._state.redis.pipeline(transaction=False)
        for session_id in session_ids:
            pipe.exists(self._state.key("session", session_id))
        there: list[Any] = await self._state.call(pipe.execute())
        return {session_id for session_id, found in zip(session_ids, there, strict=True) if not found}

    async def _look_later(self, turn_id: str) -> None:
        """A turn without an end: closes it if its runner is dead, else looks again."""
        try:
            closed = await self._turns.settle(turn_id)
        except NotFound:
            closed = False
        await self._outbox.put(turn_id, after_s=0.0 if closed else _LEASE_S)

    async def _erase(self, member: str) -> bool:
        """Erases a session; True when no turn of it can still be on its way."""
        session_id, _, until_ms = member.removeprefix(ERASE).partition(":")
        await self._history.erase_session(session_id)
        return time.time() * 1000 > int(until_ms)

    async def _sweep(self) -> None:
        """Removes what is older than the retention, once an hour."""
        if not self._retention_days or time.monotonic() - self._swept < _RETENTION_S:
            return
        self._swept = time.monotonic() or 1.0
        erased = await self._history.erase_before(int((time.time() - self._retention_days * 86_400) * 1000))
        if erased:
            log.info("history.retention", erased=erased, days=self._retention_days)

    def _warn(self, waiting: int) -> None:
        if waiting < self._outbox.max_waiting * _NEAR or time.monotonic() - self._warned < 60:
            return
        self._warned = time.monotonic()
        log.warning("history.outbox_nearly_full", waiting=waiting, most=self._outbox.max_waiting)


def _entry(turn_id: str, record: dict[str, str], texts: list[str]) -> Row | None:
    try:
        return entry(turn_id, record, texts)
    except (ValueError, KeyError, TypeError):
        log.exception("history.turn_not_understood", turn_id=turn_id)
        return None


def _refused(exc: ApiError) -> bool:
    """The database answered, but does not take this row."""
    cause = exc.__cause__
    return isinstance(cause, DBAPIError) and not cause.connection_invalidated and type(cause).__name__ in (
        "DataError", "IntegrityError", "StatementError",
    )  # fmt: skip


@asynccontextmanager
async def writing(writer: HistoryWriter) -> AsyncIterator[None]:
    """Runs the writer while the context is open, and once more at its end."""
    try:
        async with background(writer.run(), name="history-writer"):
            yield
    finally:
        try:
            async with asyncio.timeout(5):
                while await writer.drain() >= _MOST:
                    pass
        except (ApiError, TimeoutError) as exc:
            log.warning("history.left_in_the_outbox", error=str(exc))
