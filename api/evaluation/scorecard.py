"""The whole scorecard: every case file of a folder, each with the measure that fits its name.

Runs the measures of this package one after another on one engine; knows which file is measured how and which
figures stand for it, not how they come about.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from api.conversation.context import ContextResolver, Resolution
from api.conversation.memory import Memory, RememberedTurn
from api.conversation.opening import Engine
from api.evaluation.answers import judge_answers, read_answer_cases, summarize_answers
from api.evaluation.dialogues import rank_dialogues, read_dialogues, summarize_dialogues
from api.evaluation.play import Player
from api.evaluation.retrieval import DEPTH, rank_cases, read_retrieval_cases, summarize_retrieval
from api.evaluation.rows import CasesError
from api.evaluation.scope import SHARES, judge_scope, read_scope_cases, summarize_scope
from retrieval.ranking.ranker import RANKING
from retrieval.scope.classifier import SCOPE_DIR

# Measure and case file; `scope` on a retrieval file says whether ordinary questions are helped.
MEASURES = (
    ("retrieval", "retrieval"),
    ("retrieval", "real_retrieval"),
    ("scope", "scope"),
    ("scope", "real_scope"),
    ("scope", "retrieval"),
    ("answers", "answers"),
    ("answers", "real_answers"),
    ("dialogues", "dialogues"),
)
_FIGURES: Mapping[str, tuple[str, ...]] = {
    "retrieval": ("recall@1", "recall@5", "recall@10", "mrr"),
    "scope": SHARES,
    "answers": ("all_facts", "forbidden", "median_chars", "max_chars", "uncited"),
    "dialogues": ("needs_context.recall@5", "standalone.recall@5"),
}


async def measure_all(engine: Engine, player: Player, folder: Path) -> dict[str, Any]:
    """Measures every case file of `folder` that `MEASURES` names; one that is missing is passed over.

    Raises:
        CasesError: the folder holds none of the files, or one is faulty.
    """
    there = [(kind, name) for kind, name in MEASURES if (folder / f"{name}.jsonl").is_file()]
    if not there:
        raise CasesError(f"{folder}: holds none of {', '.join(sorted({name for _, name in MEASURES}))}")
    reports = {
        f"{kind}: {name}": await measure_file(engine, player, kind, folder / f"{name}.jsonl")
        for kind, name in there
    }
    return {"measures": reports, "cross_validated": _cross_validated()}


def figures(reports: Mapping[str, Any]) -> list[tuple[str, str, float | None]]:
    """The figures that stand for each report: its name, the figure's, and the value (None: no such case)."""
    rows: list[tuple[str, str, float | None]] = []
    for name, report in reports.items():
        for path in _FIGURES[name.partition(":")[0]]:
            value: Any = report
            for part in path.split("."):
                value = value[part]
            rows.append((name, path, value))
    return rows


async def measure_file(engine: Engine, player: Player, kind: str, path: Path) -> dict[str, Any]:
    """Measures one case file as `kind` is measured. Raises `CasesError`."""
    match kind:
        case "retrieval":
            rows = read_retrieval_cases(path)
            ranked = await asyncio.to_thread(
                lambda: list(rank_cases(rows, lambda query: engine.searcher.search(query, limit=DEPTH)))
            )
            return summarize_retrieval(ranked)
        case "scope":
            return summarize_scope([one async for one in judge_scope(read_scope_cases(path), player)])
        case "answers":

            async def answer(query: str) -> str:
                return (await player(query)).answer

            return summarize_answers([one async for one in judge_answers(read_answer_cases(path), answer)])
        case _:
            context = ContextResolver(engine.searcher)

            async def resolve(question: str, memory: Memory) -> Resolution:
                return await asyncio.to_thread(context.resolve, question, memory)

            async def remember(question: str, memory: Memory) -> RememberedTurn:
                return (await player(question, memory)).remembered()

            return summarize_dialogues(await rank_dialogues(read_dialogues(path), resolve, remember))


def _cross_validated() -> dict[str, Any]:
    """What the trained parts say of themselves on folds that they had not seen."""
    cards = {
        path.stem: json.loads(path.read_text(encoding="utf-8")).get("card", {})
        for path in sorted(RANKING.glob("*.json"))
    }
    scope = json.loads((SCOPE_DIR / "model.json").read_text(encoding="utf-8"))
    return {"ranking": cards, "scope": {name: head["report"] for name, head in scope["heads"].items()}}
