"""How each model fared with the questions it answered.

Models that answer sellers of the same days can be compared; with few turns they differ by chance, which the
interval says. Knows rows of the history.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from types import MappingProxyType

from pydantic import BaseModel, Field

from api.history.entry import Row
from api.history.store import History, TurnFilter
from api.insights.summary import MOST_TURNS, percentile

# Two-sided 95% of the normal distribution.
_Z = 1.96


class ModelMeasures(BaseModel):
    """Turns of one model; times in milliseconds."""

    provider: str
    model: str
    turns: int
    verdicts: dict[str, int]
    up: int
    down: int
    liked: float | None = Field(description="share of thumbs up among thumbs; null without any")
    liked_from: float | None = Field(description="where the share may truly lie: Wilson's 95% interval")
    liked_to: float | None
    faults: dict[str, int] = Field(
        description="answers with each fault: those of `turn.completed.faults`, `cut`, `ungrounded`"
    )
    p50_ms: float
    p95_ms: float


class Models(BaseModel):
    """Measures by model, most turns first."""

    models: list[ModelMeasures]


async def measures(
    history: History, *, since_ms: int, called: Mapping[str, str] = MappingProxyType({})
) -> list[ModelMeasures]:
    """Of the turns since then, most turns first.

    Args:
        history: has the turns.
        since_ms: when they began, ms since 1970.
        called: by what name a model goes that had another one.

    Raises:
        HistoryUnavailable: they cannot be read.
    """
    by_model: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in await history.answers(TurnFilter(since_ms=since_ms), limit=MOST_TURNS):
        if row["model"]:
            by_model[row["provider"], called.get(row["model"], row["model"])].append(row)
    found = [_measures(*names, rows) for names, rows in by_model.items()]
    return sorted(found, key=lambda each: -each.turns)


def faults(row: Row) -> list[str]:
    """What was wrong with an answer: `AnswerFault`s, `cut`, and `ungrounded` where a sentence was."""
    cut = row["truncated"] and row["status"] == "completed"
    return [*(row["faults"] or ()), *(["cut"] if cut else []), *(["ungrounded"] if row["ungrounded"] else [])]


def _measures(provider: str, model: str, rows: list[Row]) -> ModelMeasures:
    verdicts: dict[str, int] = defaultdict(int)
    for row in rows:
        verdicts[row["verdict"] or row["status"]] += 1
    up, down = (sum(row["rating"] == rating for row in rows) for rating in ("up", "down"))
    low, high = wilson(up, up + down)
    times = sorted(row["ended_ms"] - row["started_ms"] for row in rows)
    return ModelMeasures(
        provider=provider, model=model, turns=len(rows), verdicts=dict(verdicts), up=up, down=down,
        faults=dict(Counter(fault for row in rows for fault in faults(row))),
        liked=round(up / (up + down), 3) if up + down else None, liked_from=low, liked_to=high,
        p50_ms=percentile(times, 0.5), p95_ms=percentile(times, 0.95),
    )  # fmt: skip


def wilson(successes: int, of: int) -> tuple[float | None, float | None]:
    """Wilson's score interval (1927) of a share, at 95%; nothing of nothing."""
    if not of:
        return None, None
    share = successes / of
    middle = share + _Z**2 / (2 * of)
    spread = _Z * math.sqrt(share * (1 - share) / of + _Z**2 / (4 * of**2))
    scale = 1 + _Z**2 / of
    return round(max(0.0, (middle - spread) / scale), 3), round(min(1.0, (middle + spread) / scale), 3)
