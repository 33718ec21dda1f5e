"""Measures of a ranking, and of the difference between two, as pure functions.

Knows positions and numbers; does not know FAQs, files or searches. A query's *rank* is the 1-based position
of the first relevant result, or None where none was found.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import log2

import numpy as np


def first_rank(found: Sequence[str], relevant: Collection[str]) -> int | None:
    """The 1-based position in `found` of the first relevant item, None where there is none."""
    return next((n for n, item in enumerate(found, start=1) if item in relevant), None)


def recall_at(ranks: Sequence[int | None], k: int) -> float:
    """The share of queries with a relevant result among the first `k` (any relevant one counts)."""
    return mean([float(rank is not None and rank <= k) for rank in ranks])


def mrr(ranks: Sequence[int | None]) -> float:
    """The mean reciprocal rank; a query without a relevant result counts 0."""
    return mean([0.0 if rank is None else 1 / rank for rank in ranks])


def ndcg_at(found: Sequence[str], relevant: Collection[str], k: int = 10) -> float:
    """Normalised discounted cumulative gain of one query with equal gains; 0 without relevant items.

    Järvelin and Kekäläinen 2002: each relevant result at position p gains 1 / log2(p + 1), divided by
    the gain of the best possible order.
    """
    gained = sum(1 / log2(n + 1) for n, item in enumerate(found[:k], start=1) if item in relevant)
    best = sum(1 / log2(n + 1) for n in range(1, min(len(relevant), k) + 1))
    return gained / best if best else 0.0


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of `values` lies, interpolated; 0 for no values."""
    return float(np.quantile(values, share)) if values else 0.0


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean; 0 for no values."""
    return sum(values) / len(values) if values else 0.0


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its bootstrap interval."""

    mean: float
    low: float
    high: float

    @property
    def decided(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


def bootstrap(
    values: Sequence[float], *, samples: int = 10_000, share: float = 0.95, seed: int = 0
) -> Interval:
    """The mean of `values` with the percentile interval of resampled means (Efron 1979).

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("a bootstrap needs at least one value")
    numbers = np.asarray(values, np.float64)
    picks = np.random.default_rng(seed).integers(0, len(numbers), (samples, len(numbers)))
    means = numbers[picks].mean(axis=1)
    low, high = np.quantile(means, [(1 - share) / 2, (1 + share) / 2])
    return Interval(float(numbers.mean()), float(low), float(high))


def paired_bootstrap(a: Sequence[float], b: Sequence[float], *, samples: int = 10_000) -> Interval:
    """The mean of `b - a` over the same cases, with its 95% interval.

    Raises:
        ValueError: the two differ in length, or are empty.
    """
    return bootstrap([y - x for x, y in zip(a, b, strict=True)], samples=samples)
