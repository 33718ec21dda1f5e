"""Decides from paired measures whether a candidate should take over. Knows numbers alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

from retrieval.training.metrics import Interval, paired_bootstrap

Measures = Mapping[str, Sequence[float]]


class Judgement(TypedDict):
    """Whether to promote, why, and by measure the mean difference with its 95% interval."""

    verdict: Literal["promote", "keep"]
    reason: str
    differences: dict[str, dict[str, Any]]


def judge(current: Measures, candidate: Measures) -> Judgement:
    """Promotes what is surely better at something and surely worse at nothing.

    Args:
        current: for each measure its value on every case, higher is better.
        candidate: the same measures on the same cases.

    Raises:
        ValueError: the two have other measures or other numbers of cases.
    """
    if current.keys() != candidate.keys():
        raise ValueError("both must have the same measures")
    found = {name: paired_bootstrap(current[name], candidate[name]) for name in current}
    better = [name for name, interval in found.items() if interval.low > 0]
    worse = [name for name, interval in found.items() if interval.high < 0]
    if worse:
        return _judgement("keep", f"surely worse: {', '.join(worse)}", found)
    if better:
        return _judgement("promote", f"surely better: {', '.join(better)}", found)
    return _judgement("keep", "no sure difference", found)


def _judgement(verdict: Literal["promote", "keep"], reason: str, found: Mapping[str, Interval]) -> Judgement:
    differences = {
        name: {"mean": round(i.mean, 5), "low": round(i.low, 5), "high": round(i.high, 5)}
        for name, i in found.items()
    }
    return Judgement(verdict=verdict, reason=reason, differences=differences)
