"""The audit trail of the FAQ: every edit with who, when, before and after; its fold is the overlay.

Knows rows and entries; not how an edit gets into the index.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import func, insert, select
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from api.history.database import guarded
from api.history.entry import Row
from api.history.tables import edits
from retrieval.edits.overlay import Entry

Action = Literal["add", "change", "retire", "expand", "undo"]


class Edits:
    """Edits in the history's database."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def add(
        self,
        faq_id: str,
        action: Action,
        before: Entry | None,
        after: Entry | None,
        *,
        by: str,
        undoes: int | None = None,
        turn_id: str = "",
    ) -> int:
        """Keeps an edit; returns its number.

        Args:
            faq_id: whose.
            action: what was done.
            before: the overlay's entry until now, None where the file counted (or nothing was there).
            after: likewise from now on.
            by: who did it.
            undoes: the edit that this one takes back.
            turn_id: the question that made somebody edit.
        """
        values = {
            "faq_id": faq_id, "action": action, "by": by[:128], "at_ms": int(time.time() * 1000),
            "before": before.to_json() if before else {}, "after": after.to_json() if after else {},
            "undoes": undoes, "turn_id": turn_id[:64],
        }  # fmt: skip
        with guarded():
            async with self._engine.begin() as connection:
                done = await connection.execute(insert(edits).values(values))
        key = done.inserted_primary_key
        assert key is not None
        return int(key[0])

    async def get(self, number: int) -> Row | None:
        """One edit."""
        found = await self._rows(select(edits).where(edits.c.id == number))
        return found[0] if found else None

    async def latest(self, *, limit: int = 100, before: int = 0, faq_id: str = "") -> list[Row]:
        """Edits, newest first; `before` goes on from a number."""
        query = select(edits).order_by(edits.c.id.desc()).limit(limit)
        if before:
            query = query.where(edits.c.id < before)
        if faq_id:
            query = query.where(edits.c.faq_id == faq_id)
        return await self._rows(query)

    async def editors(self) -> dict[str, str]:
        """Who edited each FAQ last, by its id."""
        last = select(func.max(edits.c.id)).group_by(edits.c.faq_id)
        found = await self._rows(select(edits.c.faq_id, edits.c.by).where(edits.c.id.in_(last)))
        return {row["faq_id"]: row["by"] for row in found}

    async def corrections(self) -> dict[str, Entry]:
        """What was written because of a turn, by its id: the newest where there are several."""
        query = select(edits.c.turn_id, edits.c.after).where(edits.c.turn_id != "").order_by(edits.c.id)
        return {
            row["turn_id"]: Entry.from_json(row["after"]) for row in await self._rows(query) if row["after"]
        }

    async def overlay(self) -> dict[str, Entry | None]:
        """What the edits make of the file, by FAQ id in the order first edited."""
        newest = select(func.max(edits.c.id).label("id"), func.min(edits.c.id).label("first"))
        last = newest.group_by(edits.c.faq_id).subquery()
        query = select(edits.c.faq_id, edits.c.after).join(last, last.c.id == edits.c.id)
        found = await self._rows(query.order_by(last.c.first))
        return {row["faq_id"]: Entry.from_json(row["after"]) if row["after"] else None for row in found}

    async def _rows(self, query: Any) -> list[Row]:
        with guarded():
            async with self._engine.connect() as connection:
                return [dict(row) for row in (await connection.execute(query)).mappings()]


def nothing_kept(url: str) -> bool:
    """True for a SQLite file that is not there yet: reading must not make one."""
    parsed = make_url(url)
    return parsed.drivername.startswith("sqlite") and not Path(parsed.database or "").is_file()
