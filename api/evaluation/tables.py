"""Prints reports as tables for people. Knows the shape of reports; measures nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from api.evaluation.compare import Difference
from api.evaluation.scope import SHARES as SCOPE_SHARES
from api.evaluation.scope import VERDICTS
from api.evaluation.scorecard import figures

_COLUMNS = ("cases", "recall@1", "recall@3", "recall@5", "recall@10", "mrr", "ndcg@10")
_SHOWN_FAILURES = 40
_SHARES = ("all_facts", "facts", "forbidden", "uncited")
_BROKEN = ("announced_missing", "begins_in_middle")
_DIALOGUE = ("cases", "recall@1", "recall@3", "recall@5", "recall@10", "mrr", "ndcg@10")


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
        for title in row["gold_questions"]:
            console.print(f"    wanted {title}", style="green", markup=False)
        for title in row["found"] or ["-"]:
            console.print(f"    found  {title}", style="red", markup=False)
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


def print_answers(console: Console, report: Mapping[str, Any]) -> None:
    """The measures, then every answer that lacks a fact or says something forbidden."""
    names = (*(name.replace("_", " ") for name in _BROKEN), "median chars", "max chars")
    table = Table("cases", *_SHARES, *names, box=None)
    shares = (f"{report[name]:.3f}" for name in _SHARES)
    counts = (str(report[name]) for name in _BROKEN)
    lengths = (f"{report['median_chars']:g}", str(report["max_chars"]))
    table.add_row(str(report["cases"]), *shares, *counts, *lengths)
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
    """The shares, the verdicts by label, then every case judged wrong."""
    table = Table("measure", "share", box=None)
    for name in SCOPE_SHARES:
        table.add_row(name, _share(report[name]))
    console.print(table)
    verdicts = Table("label", *VERDICTS, box=None)
    for label, counts in report["verdicts"].items():
        verdicts.add_row(label, *(str(counts[verdict]) for verdict in VERDICTS))
    console.print(verdicts)
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


def print_answered_by(console: Console, report: Mapping[str, Any]) -> None:
    """Who answered how many turns, and how long a turn took."""
    counts = ", ".join(f"{name} {count}" for name, count in report["answered_by"].items())
    console.print(f"asked {report['provider']}; answered by {counts}; p50 {report['turn_ms']['p50']:.0f} ms")


def print_scorecard(console: Console, report: Mapping[str, Any]) -> None:
    """Every figure of every case file; then what the trained parts measured on folds they had not seen."""
    table = Table("cases", "figure", "value", box=None)
    last = ""
    for name, figure, value in figures(report["measures"]):
        table.add_row(name if name != last else "", figure, "-" if value is None else f"{value:.3f}")
        last = name
    console.print(table)
    folds = Table("scope, 5-fold", "lines", *VERDICTS, "wrong", box=None)
    for head, rows in report["cross_validated"]["scope"].items():
        for label, row in rows.items():
            shares = (f"{row[name] / row['lines']:.3f}" for name in (*VERDICTS, "wrong"))
            folds.add_row(f"{head}: {label}", str(row["lines"]), *shares)
    console.print(folds)
    for file, card in report["cross_validated"]["ranking"].items():
        console.print(f"ranking, {file}: {card}", markup=False)
