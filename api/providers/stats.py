"""How each provider has done: answers, failures, tokens, cost, latency; shared by all processes.

Counts are gathered here and added to the state store about twice a second, so that an answer
never waits for them. Knows numbers only, no providers and no prompts.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

import structlog

from api.errors import StateUnavailable
from api.events import Usage
from api.state.connection import State

log = structlog.get_logger(__name__)
Outcome = Literal["answered", "failed", "rejected", "left"]
_FLUSH_S = 0.5
_STEP = 1.2
_KEEP_S = 2 * 3600


@dataclass(frozen=True, slots=True)
class Latency:
    """Percentiles of the last one to two hours, in milliseconds, to within a tenth."""

    count: int
    p50_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of one provider since the state store was set up.

    Attributes:
        outcomes: answers by how they ended.
        prompt_tokens: read by the provider.
        completion_tokens: written by it.
        cost_usd: of both, at the prices of the settings.
        first_token: from asking to the first text.
        total: from asking to the end, of whole answers.
    """

    outcomes: Mapping[str, int]
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float
    first_token: Latency | None
    total: Latency | None


class ProviderStats:
    """Gathers and reads the counts; open it with `open_stats`."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._recorded: list[tuple[str, Outcome, Usage | None, float | None, float | None]] = []
        self._pending: Counter[tuple[str, str]] = Counter()
        self._writing = asyncio.Lock()

    def record(
        self,
        name: str,
        outcome: Outcome,
        *,
        usage: Usage | None = None,
        first_token_s: float | None = None,
        total_s: float | None = None,
    ) -> None:
        """Counts one answer; returns at once."""
        self._recorded.append((name, outcome, usage, first_token_s, total_s))

    def _count(self) -> None:
        """Adds up what was recorded: together, as each by itself costs the gateway far more."""
        recorded, self._recorded = self._recorded, []
        for name, outcome, usage, first_token_s, total_s in recorded:
            totals, hour = self._key(name, "totals"), self._key(name, _hour())
            self._pending[totals, outcome] += 1
            if usage is not None:
                self._pending[totals, "prompt_tokens"] += usage.prompt_tokens
                self._pending[totals, "completion_tokens"] += usage.completion_tokens
                self._pending[totals, "cost_nanousd"] += round(usage.cost_usd * 1e9)
            if first_token_s is not None:
                self._pending[hour, f"first:{_bucket(first_token_s)}"] += 1
            if total_s is not None and outcome == "answered":
                self._pending[hour, f"total:{_bucket(total_s)}"] += 1

    async def flush(self) -> None:
        """Adds what has been gathered to the store; keeps it where the store is away.

        When it returns, what was recorded before is in the store.
        """
        async with self._writing:
            self._count()
            pending, self._pending = self._pending, Counter()
            try:
                for key in {key for key, _ in pending}:
                    # Keys of their own transactions: in a cluster they lie on different nodes.
                    await self._add(
                        key, {part: n for (owner, part), n in pending.items() if owner == key and n}
                    )
                    pending = Counter({each: n for each, n in pending.items() if each[0] != key})
            except StateUnavailable:
                self._pending.update(pending)

    async def _add(self, key: str, amounts: Mapping[str, int]) -> None:
        async with self._state.redis.pipeline(transaction=True) as pipe:
            for part, amount in amounts.items():
                pipe.hincrby(key, part, amount)
            if not key.endswith("totals"):
                pipe.expire(key, _KEEP_S)
            await self._state.call(pipe.execute())

    async def read(self, names: Iterable[str]) -> dict[str, Record]:
        """What is known of each provider. Raises `StateUnavailable`."""
        await self.flush()
        return {name: await self._read(name) for name in names}

    async def _read(self, name: str) -> Record:
        redis = self._state.redis
        totals: Any = await self._state.call(redis.hgetall(self._key(name, "totals")))
        numbers = {part: int(value) for part, value in totals.items()}
        times: Counter[str] = Counter()
        for hour in (_hour(), _hour(-1)):
            found: Any = await self._state.call(redis.hgetall(self._key(name, hour)))
            times.update({part: int(value) for part, value in found.items()})
        return Record(
            outcomes={kind: numbers.get(kind, 0) for kind in ("answered", "failed", "rejected", "left")},
            prompt_tokens=numbers.get("prompt_tokens", 0),
            completion_tokens=numbers.get("completion_tokens", 0),
            cost_usd=numbers.get("cost_nanousd", 0) / 1e9,
            first_token=_latency(times, "first:"),
            total=_latency(times, "total:"),
        )

    def _key(self, name: str, part: str) -> str:
        return self._state.key("provider", name, part)


@asynccontextmanager
async def open_stats(state: State) -> AsyncIterator[ProviderStats]:
    """Statistics that are written while the context lasts, and once more at its end."""
    stats, over = ProviderStats(state), asyncio.Event()

    async def write() -> None:
        while not over.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_FLUSH_S):
                    await over.wait()
            await stats.flush()

    # Asked to end, not cancelled: counts that are on their way to the store arrive once.
    task = asyncio.create_task(write(), name="provider-stats")
    try:
        yield stats
    finally:
        over.set()
        await task


def _hour(offset: int = 0) -> str:
    """The current hour, or one `offset` hours from it."""
    return f"hour:{int(time.time()) // 3600 + offset}"


def _bucket(seconds: float) -> int:
    """The number of the bucket a time falls into; each is a fifth wider than the one before."""
    return round(math.log(max(seconds, 1e-4) * 1000, _STEP))


def _latency(times: Mapping[str, int], kind: str) -> Latency | None:
    counts = sorted((int(part.removeprefix(kind)), n) for part, n in times.items() if part.startswith(kind))
    total = sum(n for _, n in counts)
    if not total:
        return None
    return Latency(total, _percentile(counts, total * 0.5), _percentile(counts, total * 0.95))


def _percentile(counts: list[tuple[int, int]], rank: float) -> float:
    seen = 0
    for bucket, n in counts:
        seen += n
        if seen >= rank:
            return round(_STEP**bucket, 1)
    return 0.0
