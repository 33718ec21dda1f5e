"""How questions fared over time: verdicts, latency, ratings, resolution, what is asked most. Knows rows."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Sequence

from pydantic import BaseModel, Field

from api.history.entry import Row
from api.history.store import History, TurnFilter

MOST_TURNS = 20_000
_DAY_MS = 86_400_000
_KOREA_MS = 9 * 3_600_000


class Day(BaseModel):
    """One day (Korean time) or all days together; times in milliseconds."""

    day: str
    turns: int
    sessions: int
    verdicts: dict[str, int]
    up: int
    down: int
    resolved: float = Field(description="share that was answered, not thumbed down, and not asked again")
    p50_ms: float
    p95_ms: float


class Summary(BaseModel):
    """All days together, each day, and the questions asked most."""

    total: Day
    days: list[Day]
    top: list[tuple[str, int]]


async def summary(history: History, *, days: int = 7) -> Summary:
    """The last `days` days, today included. Raises `HistoryUnavailable`."""
    today = (int(time.time() * 1000) + _KOREA_MS) // _DAY_MS
    since_ms = (today - days + 1) * _DAY_MS - _KOREA_MS
    rows = await history.turns(TurnFilter(since_ms=since_ms), limit=MOST_TURNS)
    by_day: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        by_day[(row["started_ms"] + _KOREA_MS) // _DAY_MS].append(row)
    again = _same_session_again(rows)
    top = Counter(row["standalone"] for row in rows).most_common(10)
    each = [_day(_name(day), by_day[day], again) for day in range(today - days + 1, today + 1)]
    return Summary(total=_day("", rows, again), days=each, top=top)


def _day(name: str, rows: Sequence[Row], again: set[str]) -> Day:
    verdicts = Counter(row["verdict"] or row["status"] for row in rows)
    resolved = sum(
        row["verdict"] == "answered" and row["rating"] != "down" and row["id"] not in again for row in rows
    )
    times = sorted(row["ended_ms"] - row["started_ms"] for row in rows)
    return Day(
        day=name,
        turns=len(rows),
        sessions=len({row["session_id"] or row["id"] for row in rows}),
        verdicts=dict(verdicts),
        up=sum(row["rating"] == "up" for row in rows),
        down=sum(row["rating"] == "down" for row in rows),
        resolved=round(resolved / len(rows), 3) if rows else 0.0,
        p50_ms=percentile(times, 0.5),
        p95_ms=percentile(times, 0.95),
    )


def _same_session_again(rows: Sequence[Row]) -> set[str]:
    """Turns that were followed, in their session, by a question that found the same FAQ first."""
    later: dict[str, str] = {}
    found = set()
    for row in rows:  # newest first
        session, first = row["session_id"], row["sources"][0]["faq_id"] if row["sources"] else ""
        if session and first and later.get(session) == first:
            found.add(row["id"])
        if session:
            later[session] = first
    return found


def percentile(times: Sequence[float], share: float) -> float:
    """The time that `share` (0 to 1) of the sorted `times` do not exceed; 0 where there are none."""
    return float(times[min(len(times) - 1, int(len(times) * share))]) if times else 0.0


def _name(day: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(day * 86_400))
