"""Prints reports as tables for people. Knows the shape of reports; measures nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from api.evaluation.compare import Difference

_COLUMNS = ("cases", "recall@1", "recall@3", "recall@5", "recall@10", "mrr", "ndcg@10")
_SHOWN_FAILURES = 40


def print_retrieval(console: Console, report: Mapping[str, Any]) -> None:
    """The measures by style, latency, then every case whose best hit is wrong, with what came instead."""
    table = Table("style", *_COLUMNS, box=None)
    for style, measures in {"all": report, **report["by_style"]}.items():
        table.add_row(style or "-", *(_number(measures[name]) for name in _COLUMNS))
    console.print(table)
    latency = report["latency_ms"]
    console.print(f"latency: p50 {latency['p50']:.0f} ms, p95 {latency['p95']:.0f} ms")
    failures = [row for row in report["per_case"] if row["rank"] != 1]
    if failures:
        console.print(f"\nnot first ({len(failures)}):")
    for row in failures[:_SHOWN_FAILURES]:
        console.print(f"{row['id']} (rank {row['rank'] or 'none'}) {row['query']}", markup=False)
        console.print(f"    wanted {row['gold_questions'][0]}", style="green", markup=False)
        console.print(f"    found  {row['found'][0] if row['found'] else '-'}", style="red", markup=False)
    if len(failures) > _SHOWN_FAILURES:
        console.print(f"... and {len(failures) - _SHOWN_FAILURES} more in the JSON report")


def print_differences(console: Console, differences: Sequence[Difference]) -> None:
    """Each measure in A and B with the interval of the change; a change that is no chance is marked."""
    table = Table("measure", "cases", "A", "B", "B - A", "95% interval", "", box=None)
    for one in differences:
        change = one.change
        table.add_row(
            one.measure,
            str(one.cases),
            f"{one.a:.3f}",
            f"{one.b:.3f}",
            f"{change.mean:+.3f}",
            f"{change.low:+.3f} to {change.high:+.3f}",
            ("better" if change.mean > 0 else "worse") if change.decided else "undecided",
        )
    console.print(table)


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.3f}"
