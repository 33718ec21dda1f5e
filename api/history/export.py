"""Turns as lines of a file: JSON lines or CSV, one at a time. Knows rows and formats, no database."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime

from api.history.entry import Row
from retrieval.edits.overlay import Entry

COLUMNS = (
    "id", "session_id", "started", "channel", "question", "standalone", "verdict", "status", "answer",
    "sources", "provider", "model", "rating", "reason", "comment", "ms",
)  # fmt: skip
# What a spreadsheet takes for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


async def jsonl_lines(rows: AsyncIterator[Row]) -> AsyncIterator[str]:
    """Each turn as a JSON object."""
    async for row in rows:
        yield json.dumps(row, ensure_ascii=False) + "\n"


async def corrected(rows: AsyncIterator[Row], corrections: Mapping[str, Entry]) -> AsyncIterator[Row]:
    """Each turn with `correction`: the FAQ that somebody wrote because of it, None where nobody did."""
    async for row in rows:
        entry = corrections.get(row["id"])
        wanted = {"question": entry.question, "answer": entry.answer} if entry else None
        yield {**row, "correction": wanted}


async def csv_lines(rows: AsyncIterator[Row]) -> AsyncIterator[str]:
    """A header and each turn; the byte order mark tells Excel that it is UTF-8."""
    yield "\ufeff" + _line(COLUMNS)
    async for row in rows:
        started = datetime.fromtimestamp(row["started_ms"] / 1000, UTC).isoformat(timespec="seconds")
        sources = "\n".join(source.get("question", "") for source in row["sources"])
        values = {
            **row, "started": started, "sources": sources, "ms": row["ended_ms"] - row["started_ms"],
        }  # fmt: skip
        yield _line([defused(values[name]) for name in COLUMNS])


def defused(value: object) -> str:
    """A cell that no spreadsheet runs: https://owasp.org/www-community/attacks/CSV_Injection."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _line(cells: tuple[str, ...] | list[str]) -> str:
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerow(cells)
    return buffer.getvalue()
