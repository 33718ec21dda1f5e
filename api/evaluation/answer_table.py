"""Prints the report on answers for people; measures nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

_SHARES = ("all_facts", "facts", "forbidden", "uncited")


def print_answers(console: Console, report: Mapping[str, Any]) -> None:
    """The measures, then every answer that lacks a fact or says something forbidden."""
    table = Table("cases", *_SHARES, "median chars", "max chars", box=None)
    shares = (f"{report[name]:.3f}" for name in _SHARES)
    table.add_row(str(report["cases"]), *shares, f"{report['median_chars']:g}", str(report["max_chars"]))
    console.print(table)
    failures = [row for row in report["per_case"] if not row["passed"]]
    if failures:
        console.print(f"\nfailed ({len(failures)}):")
    for row in failures:
        console.print(f"{row['id']} {row['query']}", markup=False, style="bold")
        console.print(row["answer"], markup=False)
        for fact in row["missing"]:
            console.print(f"    missing  {' | '.join(fact)}", style="red", markup=False)
        for pattern in row["said"]:
            console.print(f"    forbidden  {pattern}", style="red", markup=False)
