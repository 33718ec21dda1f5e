"""Compares two reports of one kind case by case, with a paired bootstrap interval for each measure.

Knows that a report lists its cases under `per_case`; does not know how they were measured.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api.evaluation.rows import CasesError
from retrieval.training.metrics import Interval, paired_bootstrap

_KEYS = ("id", "dialogue", "user", "query", "question", "text")


@dataclass(frozen=True, slots=True)
class Difference:
    """One measure in both reports; `change` is B minus A over the cases in both."""

    measure: str
    cases: int
    a: float
    b: float
    change: Interval

    def as_json(self) -> dict[str, Any]:
        """The difference as a JSON object."""
        return {
            "measure": self.measure,
            "cases": self.cases,
            "a": self.a,
            "b": self.b,
            "change": self.change.mean,
            "interval": [self.change.low, self.change.high],
            "decided": self.change.decided,
        }


def read_report(path: Path) -> dict[str, dict[str, float]]:
    """Returns the measures of each case of a report, by case.

    Raises:
        CasesError: not a report of `smartstore eval … --json`.
    """
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as exc:
        raise CasesError(f"{path}: no JSON report ({exc})") from exc
    rows = report.get("per_case") if isinstance(report, dict) else None
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise CasesError(f"{path}: no report of `smartstore eval`: 'per_case' is missing or empty")
    found: dict[str, dict[str, float]] = {}
    for number, row in enumerate(rows):
        key = "\0".join(str(row[name]) for name in _KEYS if name in row) or str(number)
        while key in found:
            key += "\0again"
        found[key] = _measures(row)
    return found


def compare(a: dict[str, dict[str, float]], b: dict[str, dict[str, float]]) -> list[Difference]:
    """Returns the difference in every measure that both reports have.

    Raises:
        CasesError: the reports share no case or no measure.
    """
    shared = [key for key in a if key in b]
    measures = list(dict.fromkeys(name for key in shared for name in a[key] if name in b[key]))
    differences = []
    for measure in measures:
        pairs = [(a[k][measure], b[k][measure]) for k in shared if measure in a[k] and measure in b[k]]
        left, right = [x for x, _ in pairs], [y for _, y in pairs]
        change = paired_bootstrap(left, right)
        differences.append(
            Difference(measure, len(pairs), sum(left) / len(left), sum(right) / len(right), change)
        )
    if not differences:
        raise CasesError("the two reports have no case with a common measure")
    return differences


def _measures(row: dict[str, Any]) -> dict[str, float]:
    """The numbers of one case; a rank becomes the measures that are made of it."""
    measures: dict[str, float] = {}
    for name, value in row.items():
        if name == "rank":
            rank = value if isinstance(value, int) else None
            for k in (1, 3, 5, 10):
                measures[f"recall@{k}"] = float(rank is not None and rank <= k)
            measures["mrr"] = 1 / rank if rank else 0.0
        elif isinstance(value, bool | int | float) and name not in _KEYS:
            measures[name] = float(value)
    return measures
