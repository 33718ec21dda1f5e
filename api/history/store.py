"""The history: turns and feedback, written once, read by filters, erased.

One class over SQLAlchemy for every database. Raises `HistoryUnavailable` where it is away.
Knows rows; not where turns come from.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, and_, delete, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncEngine

from api.history.database import guarded
from api.history.entry import Row
from api.history.tables import feedback, turns, vectors
from api.masking import mask_personal_data

Rating = Literal["up", "down"]
Reason = Literal["wrong", "incomplete", "not_what_i_asked", "outdated", "other"]
_PAGE = 500
# A list needs no events, which are most of a row's bytes.
_LISTED = [c for c in turns.c if c.name not in ("events", "final")]
# What was wrong with an answer, out of the turn's last event.
_FAULTS = [
    turns.c.final["faults"].label("faults"),
    turns.c.final["ungrounded"].label("ungrounded"),
    turns.c.final["truncated"].as_boolean().label("truncated"),
]
_RATING = [
    feedback.c.rating, feedback.c.reason, feedback.c.comment, feedback.c.at_ms.label("rated_ms"),
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class TurnFilter:
    """Which turns; an empty field does not filter.

    Attributes:
        verdict: answered, unsure, not_found…, or `failed` for turns that ended with an error.
        rating: `up`, `down`, `none` (not rated) or `any` (rated).
        since_ms, until_ms: when the turn began, from and before, ms since 1970.
        text: part of the question or the answer, in any case.
        provider, channel, session_id: equal to.
    """

    verdict: str = ""
    rating: str = ""
    since_ms: int = 0
    until_ms: int = 0
    text: str = ""
    provider: str = ""
    channel: str = ""
    session_id: str = ""

    def conditions(self) -> list[ColumnElement[bool]]:
        """The filter as SQL."""
        found: list[ColumnElement[bool]] = []
        if self.verdict:
            failed = self.verdict == "failed"
            found.append(turns.c.status == "failed" if failed else turns.c.verdict == self.verdict)
        match self.rating:
            case "":
                pass
            case "none":
                found.append(feedback.c.rating.is_(None))
            case "any":
                found.append(feedback.c.rating.is_not(None))
            case rating:
                found.append(feedback.c.rating == rating)
        if self.since_ms:
            found.append(turns.c.started_ms >= self.since_ms)
        if self.until_ms:
            found.append(turns.c.started_ms < self.until_ms)
        if self.text:
            part = self.text.replace("\0", "").replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
            fields = (turns.c.question, turns.c.standalone, turns.c.answer)
            found.append(or_(*(field.ilike(f"%{part}%", escape="\\") for field in fields)))
        for name in ("provider", "channel", "session_id"):
            if value := getattr(self, name):
                found.append(turns.c[name] == value)
        return found


class History:
    """Turns and feedback in the database."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self._insert = sqlite.insert if engine.dialect.name == "sqlite" else postgresql.insert

    async def record(self, rows: Sequence[Row]) -> None:
        """Writes turns; those that are there already stay as they are."""
        if not rows:
            return
        with guarded():
            async with self.engine.begin() as connection:
                await connection.execute(self._insert(turns).on_conflict_do_nothing(), list(rows))

    async def turn(self, turn_id: str) -> Row | None:
        """One turn in full, with its feedback."""
        found = await self._rows(_joined([*turns.c, *_RATING]).where(turns.c.id == turn_id))
        return found[0] if found else None

    async def turns(
        self, chosen: TurnFilter = TurnFilter(), *, limit: int = 50, before: tuple[int, str] | None = None
    ) -> list[Row]:
        """Turns without their events, newest first; `before` (started_ms, id) goes on from a page's end."""
        return await self._rows(_page(_joined([*_LISTED, *_RATING]), chosen, limit, before))

    async def answers(self, chosen: TurnFilter = TurnFilter(), *, limit: int = 50) -> list[Row]:
        """As `turns`, each with `faults`, `ungrounded` and `truncated` of its answer, null where not said."""
        return await self._rows(_page(_joined([*_LISTED, *_FAULTS, *_RATING]), chosen, limit, None))

    async def every(self, chosen: TurnFilter = TurnFilter()) -> AsyncIterator[Row]:
        """All turns of a filter, newest first, page by page."""
        before: tuple[int, str] | None = None
        while True:
            rows = await self.turns(chosen, limit=_PAGE, before=before)
            for row in rows:
                yield row
            if len(rows) < _PAGE:
                return
            before = rows[-1]["started_ms"], rows[-1]["id"]

    async def count(self, chosen: TurnFilter = TurnFilter()) -> int:
        """How many turns a filter has."""
        query = select(func.count()).select_from(_TABLES).where(*chosen.conditions())
        return int((await self._rows(query))[0]["count_1"])

    async def rate(
        self, turn_id: str, rating: Rating, *, session_id: str = "", reason: str = "", comment: str = ""
    ) -> None:
        """Keeps what somebody thinks of a turn; a later word replaces an earlier one."""
        values = {
            "turn_id": turn_id, "session_id": session_id, "rating": rating, "reason": reason,
            "comment": mask_personal_data(comment.replace("\0", "\ufffd")), "at_ms": int(time.time() * 1000),
        }  # fmt: skip
        changed = {name: value for name, value in values.items() if name != "turn_id"}
        insert = self._insert(feedback).values(values)
        with guarded():
            async with self.engine.begin() as connection:
                await connection.execute(
                    insert.on_conflict_do_update(index_elements=["turn_id"], set_=changed)
                )

    async def unrate(self, turn_id: str) -> None:
        """Takes a rating back."""
        await self._delete(delete(feedback).where(feedback.c.turn_id == turn_id))

    async def ratings(self, session_id: str) -> dict[str, Row]:
        """The feedback of a session, by turn."""
        found = await self._rows(select(feedback).where(feedback.c.session_id == session_id))
        return {row["turn_id"]: row for row in found}

    async def owner(self, turn_id: str) -> str | None:
        """Whose turn it is; None for an unknown one."""
        found = await self._rows(select(turns.c.owner).where(turns.c.id == turn_id))
        return str(found[0]["owner"]) if found else None

    async def owns_session(self, session_id: str, owner: str) -> bool:
        """Whether the history has turns of this session and caller."""
        mine = and_(turns.c.session_id == session_id, turns.c.owner == owner)
        return bool(await self._rows(select(turns.c.id).where(mine).limit(1)))

    async def erase_session(self, session_id: str) -> int:
        """Removes a session's turns and feedback; returns how many turns."""
        await self._delete(delete(feedback).where(feedback.c.session_id == session_id))
        return await self._delete(delete(turns).where(turns.c.session_id == session_id))

    async def erase_before(self, ms: int) -> int:
        """Removes turns that began before, with their feedback; returns how many turns."""
        old = select(turns.c.id).where(turns.c.started_ms < ms)
        await self._delete(delete(feedback).where(feedback.c.turn_id.in_(old)))
        await self._delete(delete(vectors).where(vectors.c.at_ms < ms))
        return await self._delete(delete(turns).where(turns.c.started_ms < ms))

    async def _delete(self, statement: Any) -> int:
        with guarded():
            async with self.engine.begin() as connection:
                return int((await connection.execute(statement)).rowcount)

    async def _rows(self, query: Select[Any]) -> list[Row]:
        with guarded():
            async with self.engine.connect() as connection:
                return [dict(row) for row in (await connection.execute(query)).mappings()]


_TABLES = turns.outerjoin(feedback, feedback.c.turn_id == turns.c.id)


def _joined(columns: Sequence[Any]) -> Select[Any]:
    return select(*columns).select_from(_TABLES)


def _page(query: Select[Any], chosen: TurnFilter, limit: int, before: tuple[int, str] | None) -> Select[Any]:
    conditions = chosen.conditions()
    if before:
        ms, turn_id = before
        earlier = and_(turns.c.started_ms == ms, turns.c.id < turn_id)
        conditions.append(or_(turns.c.started_ms < ms, earlier))
    return query.where(*conditions).order_by(turns.c.started_ms.desc(), turns.c.id.desc()).limit(limit)
