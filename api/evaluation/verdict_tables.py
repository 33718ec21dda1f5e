"""Prints reports on dialogues, scope and follow-ups for people; measures nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from api.evaluation.scope import LABELS

_DIALOGUE = ("cases", "recall@1", "recall@3", "recall@5", "recall@10", "mrr", "ndcg@10")


def print_dialogues(console: Console, report: Mapping[str, Any]) -> None:
    """Both kinds of turns, then each whose FAQ is not among the first five, with what came instead."""
    table = Table("turns", *_DIALOGUE, "p50 ms", "p95 ms", box=None)
    for kind in ("needs_context", "standalone"):
        measures = report[kind]
        latency = measures["latency_ms"]
        row = [str(measures["cases"]), *(f"{measures[name]:.3f}" for name in _DIALOGUE[1:])]
        table.add_row(kind, *row, f"{latency['p50']:.0f}", f"{latency['p95']:.0f}")
    console.print(table)
    failures = [row for row in report["per_case"] if row["rank"] is None or row["rank"] > 5]
    if failures:
        console.print(f"\nnot among the first five ({len(failures)}):")
    for row in failures:
        console.print(f"{row['id']} {row['query']}", markup=False, style="bold")
        console.print(f"    read as  {row['standalone']}", markup=False)
        console.print(f"    found  {row['found'][0] if row['found'] else '-'}", style="red", markup=False)


def print_scope(console: Console, report: Mapping[str, Any]) -> None:
    """The shares by label, then every case judged wrong."""
    table = Table("measure", "cases", "share", box=None)
    for label, (name, _) in LABELS.items():
        count = sum(row["label"] == label for row in report["per_case"])
        table.add_row(name, str(count), _share(report[name]))
    table.add_row("refusal_exact", "", _share(report["refusal_exact"]))
    console.print(table)
    failures = [row for row in report["per_case"] if not row["right"]]
    if failures:
        console.print(f"\njudged wrong ({len(failures)}):")
    for row in failures:
        console.print(f"{row['id']} {row['label']} as {row['verdict']}: {row['query']}", markup=False)


def print_followups(console: Console, report: Mapping[str, Any]) -> None:
    """The shares, then every turn without a follow-up, or with one that fails."""
    table = Table("turns", "suggestions", "with_followup", "self_retrieving", "repeated", box=None)
    table.add_row(
        str(report["turns"]),
        str(report["suggestions"]),
        _share(report["with_followup"]),
        _share(report["self_retrieving"]),
        str(report["repeated"]),
    )
    console.print(table)
    for row in report["per_case"]:
        if not row["suggestions"] or row["repeated"] or not all(row["self_retrieving"]):
            console.print(f"{row['verdict']}: {row['query']}", markup=False, style="bold")
            for text, found in zip(row["suggestions"], row["self_retrieving"], strict=True):
                console.print(f"    {'' if found else '(does not find itself) '}{text}", markup=False)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
