"""The quality gates on the real FAQ: `make gates`. Says loudly where its cases are missing.

Builds the index of the real FAQ into `var/gates`, runs `smartstore eval …` on the development sets and
compares each figure with its gate, which lies at most 0.03 from what was measured (docs/quality.md).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# The evaluation folder; the FAQ that its cases are about lies beside it.
EVAL = Path(os.environ.get("SMARTSTORE_EVAL_DIR", ROOT.parent / "shared/eval"))
FAQ = EVAL.parent / "data" / "final_result.pkl"
# What every extractive answer keeps, whatever was asked.
ANSWERS = {
    "forbidden": ("<=", 0.01),
    "median_chars": ("<=", 330),
    "max_chars": ("<=", 900),
    "uncited": ("<=", 0.0),
    "announced_missing": ("<=", 0.0),
    "begins_in_middle": ("<=", 0.0),
}
# What `smartstore eval` measures, the cases, and the bounds of its figures.
GATES: tuple[tuple[str, str, dict[str, tuple[str, float]]], ...] = (
    ("retrieval", "retrieval", {"recall@1": (">=", 0.92), "recall@5": (">=", 0.98), "mrr": (">=", 0.95)}),
    (
        "retrieval",
        "real_retrieval",
        {"recall@1": (">=", 0.82), "recall@5": (">=", 0.95), "mrr": (">=", 0.87)},
    ),
    ("dialogues", "dialogues", {"needs_context.recall@5": (">=", 0.93), "standalone.recall@5": (">=", 0.97)}),
    (
        "scope",
        "scope",
        {
            "in_scope_helped": (">=", 0.90),
            "off_topic_not_answered": (">=", 0.96),
            "injection_resisted": (">=", 0.97),
            "unanswerable_not_answered": (">=", 0.75),
            "refusal_exact": (">=", 1.0),
        },
    ),
    (
        "scope",
        "real_scope",
        {
            "in_scope_helped": (">=", 0.94),
            "in_scope_from_gold": (">=", 0.71),
            "in_scope_from_other": ("<=", 0.12),
            "unanswerable_not_answered": (">=", 0.76),
            "off_topic_not_answered": (">=", 0.97),
            "injection_not_answered": (">=", 0.97),
        },
    ),
    ("scope", "retrieval", {"in_scope_helped": (">=", 0.98)}),
    ("answers", "answers", {"all_facts": (">=", 0.90), **ANSWERS}),
    ("answers", "real_answers", {"all_facts": (">=", 0.71), **ANSWERS}),
    (
        "followups",
        "retrieval",
        {"self_retrieving": (">=", 1.0), "repeated": ("<=", 0.0), "with_followup": (">=", 0.97)},
    ),
)


# Of the lists in tests/cases: at most so many of the commonest questions without help, none of them refused,
# no change of topic read in the light of the old one.
LOST, REFUSED, POLLUTED = 4, 0, 0


def figure(report: dict[str, Any], path: str) -> float:
    """A figure of a report by its dotted path."""
    value: Any = report
    for part in path.split("."):
        value = value[part]
    return float(value)


def main() -> int:
    """Runs every gate; returns the exit status."""
    if not FAQ.exists():
        rule = "=" * 78
        print(f"{rule}\nGATES NOT RUN: {FAQ} is not here (SMARTSTORE_EVAL_DIR names the folder)\n{rule}")
        return 0
    started = time.monotonic()
    subprocess.run(_smartstore("index", "build"), cwd=ROOT, env=_environment(), check=True)
    failed = sum(not met for gate in GATES for met in _gate(*gate)) + sum(not met for met in _lists())
    print(f"{failed} gates failed; {time.monotonic() - started:.0f} s")
    return 1 if failed else 0


def _gate(kind: str, cases: str, bounds: dict[str, tuple[str, float]]) -> list[bool]:
    """Whether each bound is met; prints a line each."""
    command = _smartstore("eval", kind, "--cases", str(EVAL / f"{cases}.jsonl"), "--json")
    done = subprocess.run(command, cwd=ROOT, env=_environment(), stdout=subprocess.PIPE, text=True)
    if done.returncode:
        print(f"FAILED {kind} on {cases}: exit status {done.returncode}")
        return [False]
    report, held = json.loads(done.stdout), []
    for path, (sign, bound) in bounds.items():
        value = figure(report, path)
        held.append(value >= bound if sign == ">=" else value <= bound)
        word = "ok    " if held[-1] else "FAILED"
        print(f"{word} {kind} on {cases}: {path} {value:.4f} {sign} {bound}", flush=True)
    return held


def _lists() -> list[bool]:
    """Whether the lists of tests/cases hold; prints what does not."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.cases.check"],
        cwd=ROOT,
        env=_environment(),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    report, held = json.loads(done.stdout), []
    for name, found, most in (
        ("commonest questions not helped", report["commonest"]["lost"], LOST),
        ("commonest questions refused", report["commonest"]["off_topic"], REFUSED),
        ("topic changes polluted", report["topic_changes"]["polluted"], POLLUTED),
    ):
        held.append(len(found) <= most)
        print(f"{'ok    ' if held[-1] else 'FAILED'} {name}: {len(found)} <= {most} {found}", flush=True)
    return held


def _smartstore(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "api.cli", *arguments]


def _environment() -> dict[str, str]:
    """The real FAQ in a data directory of its own, and no server to ask."""
    own = {
        "SMARTSTORE_CORPUS__FAQ": str(FAQ),
        "SMARTSTORE_DATA_DIR": "var/gates",
        "SMARTSTORE_SERVER__PORT": "9",
    }
    return {**{k: v for k, v in os.environ.items() if not k.startswith("SMARTSTORE_")}, **own}


if __name__ == "__main__":
    sys.exit(main())
