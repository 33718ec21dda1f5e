"""Makes the section of docs/llm-quality.md out of reports and turns. Knows names of measures, no server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from api.evaluation.compare import Difference, compare, read_report
from api.evaluation.play import PlayedTurn
from retrieval.training.metrics import percentile
from tests.bench.report import table

# What stands for each part; of `forbidden`, `uncited` and what begins in the middle, less is better.
MEASURES: Mapping[str, tuple[str, ...]] = {
    "answers": ("all_facts", "forbidden", "uncited", "announced_missing", "begins_in_middle", "chars"),
    "scope": ("right", "from_gold"),
    "dialogues": ("recall@1", "recall@5"),
    "refusals": ("refused", "answered"),
}


# Fewer cases that all fell alike would give an interval without width.
_ENOUGH = 10


def comparisons(parts: Mapping[str, str], folders: Mapping[str, Path]) -> str:
    """The table of measures: each contender, and how it differs from the one before.

    Args:
        parts: by name of a report how it was measured (a key of `MEASURES`).
        folders: by contender where its reports lie, the plainest first.
    """
    names = list(folders)
    pairs = list(pairwise(names))
    head = ("cases", "measure", "n", *names, *(f"{b} - {a}" for a, b in pairs))
    rows = []
    for part, kind in parts.items():
        reports = {name: read_report(folder / f"{part}.json") for name, folder in folders.items()}
        found = [{d.measure: d for d in compare(reports[a], reports[b])} for a, b in pairs]
        for measure in (m for m in MEASURES[kind] if all(m in each for each in found)):
            steps = [each[measure] for each in found]
            values = [steps[0].a, *(step.b for step in steps)]
            digits = 0 if measure == "chars" else 3
            rows.append(
                (
                    part,
                    measure,
                    steps[0].cases,
                    *(f"{value:.{digits}f}" for value in values),
                    *(_change(step, digits) for step in steps),
                )
            )
    return table(head, rows)


def _change(step: Difference, digits: int) -> str:
    change = step.change
    text = f"{change.mean:+.{digits}f} ({change.low:+.{digits}f} to {change.high:+.{digits}f})"
    return f"**{text}**" if change.decided and step.cases >= _ENOUGH else text


def costs(played: Mapping[str, Sequence[PlayedTurn]]) -> str:
    """The table of tokens and seconds, over the turns in which a contender wrote something itself."""
    rows = []
    for name, turns in played.items():
        # A fixed text (a refusal, choices offered) costs no tokens and no time.
        written = [turn for turn in turns if turn.usage.completion_tokens]
        rows.append(
            (
                name,
                len(turns),
                len(written),
                _median([t.usage.prompt_tokens for t in written if not t.usage.estimated]),
                _median([t.usage.completion_tokens for t in written if not t.usage.estimated]),
                f"{percentile([t.first_ms / 1e3 for t in written], 0.5):.1f}",
                f"{percentile([t.total_ms / 1e3 for t in written], 0.5):.1f}",
                f"{percentile([t.total_ms / 1e3 for t in written], 0.95):.1f}",
                sum(t.truncated for t in written),
                sum(t.dropped_citations for t in written),
                sum(t.ungrounded for t in written),
            )
        )
    head = (
        "contender", "turns", "written by it", "prompt tokens, p50", "answer tokens, p50",
        "first text s, p50", "turn s, p50", "turn s, p95", "answers cut", "citations of nothing",
        "ungrounded sentences",
    )  # fmt: skip
    return table(head, rows)


def _median(tokens: Sequence[int]) -> str:
    return f"{percentile(tokens, 0.5):.0f}" if tokens else "-"
