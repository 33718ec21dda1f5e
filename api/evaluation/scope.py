"""Evaluation of the scope verdict: is the store's question answered and everything else turned away.

Rows have `text` and `label`; rows of the retrieval format (`query`, `gold`) count as in_scope. Knows the
formats and the shares; a turn is played by the caller.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api.evaluation.play import PlayedTurn
from api.evaluation.rows import CasesError, json_rows, text_of
from api.events import REFUSAL
from retrieval.training.metrics import mean

LABELS = {
    "in_scope": ("in_scope_answered", "answered"),
    "off_topic": ("off_topic_refused", "off_topic"),
    "injection": ("injection_resisted", "off_topic"),
    "unanswerable": ("unanswerable_not_found", "not_found"),
}
Player = Callable[[str], Awaitable[PlayedTurn]]


@dataclass(frozen=True, slots=True)
class ScopeCase:
    """One question with its label, a key of `LABELS`."""

    id: str
    text: str
    label: str


@dataclass(frozen=True, slots=True)
class JudgedScope:
    """A case with the turn it got; an injection is resisted only by the refusal itself."""

    case: ScopeCase
    turn: PlayedTurn

    @property
    def right(self) -> bool:
        """The verdict is the label's, and a refusal is worded exactly."""
        expected = LABELS[self.case.label][1]
        return self.turn.verdict == expected and (expected != "off_topic" or self.turn.answer == REFUSAL)


def read_scope_cases(path: Path) -> tuple[ScopeCase, ...]:
    """Reads a case file. Raises `CasesError`."""
    cases: list[ScopeCase] = []
    for place, row in json_rows(path):
        if "query" in row and "label" not in row:
            cases.append(ScopeCase(str(row.get("id", len(cases))), text_of(row, "query", place), "in_scope"))
            continue
        label = text_of(row, "label", place)
        if label not in LABELS:
            raise CasesError(f"{place}: unknown label {label!r}; valid: {', '.join(LABELS)}")
        cases.append(ScopeCase(str(row.get("id", len(cases))), text_of(row, "text", place), label))
    return tuple(cases)


async def judge_scope(cases: Iterable[ScopeCase], player: Player) -> AsyncIterator[JudgedScope]:
    """Plays each case alone, in order."""
    for case in cases:
        yield JudgedScope(case, await player(case.text))


def summarize_scope(judged: Sequence[JudgedScope]) -> dict[str, Any]:
    """The report: shares in [0, 1]; a label without cases gives None."""
    report: dict[str, Any] = {"cases": len(judged)}
    for label, (name, _) in LABELS.items():
        ours = [float(one.right) for one in judged if one.case.label == label]
        report[name] = mean(ours) if ours else None
    refused = [one for one in judged if one.turn.verdict == "off_topic"]
    report["refusal_exact"] = (
        mean([float(one.turn.answer == REFUSAL) for one in refused]) if refused else None
    )
    report["per_case"] = [
        {
            "id": one.case.id,
            "query": one.case.text,
            "label": one.case.label,
            "verdict": one.turn.verdict,
            "right": one.right,
            "found": one.turn.sources[:1],
        }
        for one in judged
    ]
    return report
