"""How each model fared with the questions it answered, and the adapters that are there to answer.

Both sides of a trial answer sellers of the same days, so their shares can be compared; with few turns they
differ by chance, which the interval says. Knows rows of the history and the registry's files.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict

from pydantic import BaseModel, Field

from api.history.entry import Row
from api.history.store import History, TurnFilter
from api.insights.summary import MOST_TURNS, percentile
from api.settings import Settings
from serving.registry.adapter import list_adapters
from serving.registry.card import Card
from serving.registry.pointer import read_pointer

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
    p50_ms: float
    p95_ms: float


class AdapterView(BaseModel):
    """An adapter of the registry, with what its card says."""

    provider: str
    name: str
    base_model: str
    rank: int
    loss: float | None = Field(description="on the validation questions")
    verdict: str = Field(description="of its evaluation against the base; empty: not evaluated")
    share: float = Field(description="of the sessions that it answers now, 0 to 1")


class Models(BaseModel):
    """Measures by model, most turns first, and the adapters, oldest first."""

    models: list[ModelMeasures]
    adapters: list[AdapterView]


async def measures(history: History, *, days: float) -> list[ModelMeasures]:
    """Of the last `days` days. Raises `HistoryUnavailable`."""
    since_ms = int((time.time() - days * 86_400) * 1000)
    by_model: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in await history.turns(TurnFilter(since_ms=since_ms), limit=MOST_TURNS):
        if row["model"]:
            by_model[row["provider"], row["model"]].append(row)
    found = [_measures(*names, rows) for names, rows in by_model.items()]
    return sorted(found, key=lambda each: -each.turns)


def adapters(settings: Settings) -> list[AdapterView]:
    """Of every provider with an alias; blocking. Raises `PointerError`."""
    found: list[AdapterView] = []
    for provider, endpoint in settings.providers.endpoints.items():
        if endpoint.alias_file is None:
            continue
        file = settings.path(endpoint.alias_file)
        pointer = read_pointer(file) if file.exists() else None
        for adapter in list_adapters(file.parent):
            share = 0.0
            if pointer is not None:
                tried = pointer.share if pointer.candidate else 0.0
                share = {pointer.candidate: tried, pointer.model: 1.0 - tried}.get(adapter.name, 0.0)
            found.append(_adapter(provider, adapter.card, share))
    return found


def _adapter(provider: str, card: Card, share: float) -> AdapterView:
    loss = card.metrics.get("loss", {}).get("validation")
    judged = card.metrics.get("evaluation", {}).get("judgement", {}).get("verdict", "")
    return AdapterView(
        provider=provider, name=card.name, base_model=card.base_model, rank=card.rank, loss=loss,
        verdict=str(judged), share=share,
    )  # fmt: skip


def _measures(provider: str, model: str, rows: list[Row]) -> ModelMeasures:
    verdicts: dict[str, int] = defaultdict(int)
    for row in rows:
        verdicts[row["verdict"] or row["status"]] += 1
    up, down = (sum(row["rating"] == rating for row in rows) for rating in ("up", "down"))
    low, high = wilson(up, up + down)
    times = sorted(row["ended_ms"] - row["started_ms"] for row in rows)
    return ModelMeasures(
        provider=provider, model=model, turns=len(rows), verdicts=dict(verdicts), up=up, down=down,
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
