"""Draws the fixed samples out of the case files. Knows rows and their texts; measures nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from api.evaluation.rows import json_rows

Row = dict[str, Any]
# How a file is measured (see `api.evaluation.scorecard`), and how many of 40 cases it gets.
FILES = {"real_answers": ("answers", 40), "answers": ("answers", 40), "real_scope": ("scope", 40),
         "dialogues": ("dialogues", 12)}  # fmt: skip
WHOLE = 40
# What is asked of the model past the search's verdict.
REFUSALS = "unanswerable, the model alone"
# Of the scope cases; drawn by chance they would be nine, too few to see a refusal that is learnt.
UNANSWERABLE = 15


def draw_files(source: Path, target: Path, size: int = WHOLE) -> dict[str, Path]:
    """Writes a sample of each case file of `source` under `target`; returns them by name.

    Args:
        source: the folder of the case files.
        target: gets files of the same names.
        size: cases of each file; dialogues and unanswerable questions in proportion, at least one.

    Raises:
        CasesError: a file is missing or faulty.
    """
    target.mkdir(parents=True, exist_ok=True)
    drawn = {}
    for name, (_, share) in FILES.items():
        rows = [row for _, row in json_rows(source / f"{name}.jsonl")]
        chosen = _scope(rows, size) if name == "real_scope" else _first(rows, _part(share, size))
        drawn[name] = target / f"{name}.jsonl"
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in chosen)
        drawn[name].write_text("".join(lines), encoding="utf-8")
    return drawn


def draw_unanswerable(source: Path, size: int = WHOLE) -> list[Row]:
    """Questions of `real_scope` that no FAQ answers, at most `size`."""
    return _first(_unanswerable(row for _, row in json_rows(source / "real_scope.jsonl")), size)


def turns(files: Mapping[str, Path]) -> int:
    """How many turns the files ask for."""
    rows = (row for file in files.values() for _, row in json_rows(file))
    return sum(len(row.get("turns", [row])) for row in rows)


def _scope(rows: list[Row], size: int) -> list[Row]:
    others = [row for row in rows if row["label"] != "unanswerable"]
    unanswerable = _first(_unanswerable(rows), _part(UNANSWERABLE, size))
    return [*unanswerable, *_first(others, size - len(unanswerable))]


def _unanswerable(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row["label"] == "unanswerable"]


def _part(share: int, size: int) -> int:
    return max(1, round(share * size / WHOLE))


def _first(rows: Iterable[Row], count: int) -> list[Row]:
    """The first `count` in the order of their texts' hashes.

    So a larger sample holds the smaller one, and what two files hold is drawn in both of them: asked once.
    """
    return sorted(rows, key=lambda row: hashlib.sha256(_text(row).encode()).digest())[:count]


def _text(row: Row) -> str:
    return str(row.get("query") or row.get("text") or row["turns"][0]["user"])
