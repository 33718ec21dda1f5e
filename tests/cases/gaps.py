"""Replays sellers' questions into a history and judges the gap report's groups against themes; prints JSON.

The questions of `real_scope.jsonl` lie in order of subjects, which are told by their ids; of those that no
FAQ answers, `gap_themes.tsv` has a narrower theme, given by hand before any group was seen. A good group
holds one of them (precision of pairs, homogeneity); that all of a theme are in one group (recall,
completeness) matters less, as a group should be what one edit settles.

    python -m tests.cases.gaps ../shared/eval/real_scope.jsonl
"""

from __future__ import annotations

import asyncio
import json
import math
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Hashable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from api.conversation.memory import Memory
from api.evaluation.play import PlayedTurn, play
from api.history.database import database_url, open_database, upgrade
from api.history.store import History
from api.insights.gaps import GapReport, gap_report
from api.services import Engine, open_engine
from api.settings import load_settings

THEMES = Path(__file__).resolve().with_name("gap_themes.tsv")
_LIMIT = 200
# The number of the first question of each subject.
_SUBJECTS = {
    1: "settlement", 30: "claims", 73: "delivery", 107: "products", 150: "joining", 179: "sanctions",
    193: "reviews", 207: "marketing", 231: "services", 241: "off topic", 261: "injection",
}  # fmt: skip


def row(number: str, turn: PlayedTurn, at_ms: int) -> dict[str, Any]:
    """The turn as the history keeps it, in a session of its own."""
    return {
        "id": number, "session_id": number, "owner": "local", "channel": "api", "question": turn.question,
        "standalone": turn.standalone, "answer": turn.answer, "status": "completed", "verdict": turn.verdict,
        "error": "", "provider": turn.provider, "model": turn.provider, "build": "", "cached": False,
        "started_ms": at_ms, "ended_ms": at_ms, "sources": [{"faq_id": id} for id in turn.sources],
        "final": {}, "events": [],
    }  # fmt: skip


async def report_of(engine: Engine, cases: list[dict[str, Any]]) -> GapReport:
    """The gap report after all of them were asked, each by somebody else."""
    now_ms = int(time.time() * 1000)
    with tempfile.TemporaryDirectory() as folder:
        async with open_database(database_url("", default=Path(folder) / "history.db")) as database:
            await upgrade(database)
            history = History(database)
            for n, case in enumerate(cases):
                turn = await play(engine.conversation, case["text"], Memory(), provider="extractive")
                await history.record([row(case["id"], turn, now_ms - (len(cases) - n) * 1000)])
            return await gap_report(history, engine.searcher, days=1, limit=_LIMIT)


def subject(id: str) -> str:
    """Of a question, by the number in its id."""
    return _SUBJECTS[max(first for first in _SUBJECTS if first <= int(id.removeprefix("ds_r")))]


def judged(groups: dict[str, int], themes: dict[str, str]) -> dict[str, float]:
    """How the groups of the questions in `groups` agree with their themes.

    Pairs in one group that are of one theme, and the reverse; the adjusted Rand index (Hubert and Arabie
    1985), 0 for groups made by chance; homogeneity and completeness (Rosenberg and Hirschberg 2007).
    """
    found, wanted = list(groups.values()), [themes[id] for id in groups]
    pairs = [(found[a] == found[b], wanted[a] == wanted[b]) for a, b in combinations(range(len(found)), 2)]
    right = sum(together and alike for together, alike in pairs)
    together, alike = (sum(side) for side in zip(*pairs, strict=True))
    by_chance = together * alike / len(pairs)
    return {
        "themes": len(set(wanted)),
        "pairs_together": together,
        "pair_precision": round(right / together, 3),
        "pair_precision_by_chance": round(alike / len(pairs), 3),
        "pair_recall": round(right / alike, 3),
        "adjusted_rand": round((right - by_chance) / ((together + alike) / 2 - by_chance), 3),
        "homogeneity": round(_told_by(found, wanted), 3),
        "completeness": round(_told_by(wanted, found), 3),
    }


def _told_by(known: Sequence[Hashable], asked: Sequence[Hashable]) -> float:
    """The part of the entropy of `asked` that `known` tells, 0 to 1."""
    both = list(zip(known, asked, strict=True))
    return 1.0 - (_entropy(both) - _entropy(known)) / _entropy(asked)


def _entropy(values: Sequence[Hashable]) -> float:
    return -sum(n / len(values) * math.log(n / len(values)) for n in Counter(values).values())


async def main(cases: list[dict[str, Any]], themes: dict[str, str]) -> None:
    """Prints how many are in the report, in how many groups, and how the groups agree with the themes."""
    async with open_engine(load_settings()) as engine:
        report = await report_of(engine, cases)
    # A group lists its newest examples only: one that is larger cannot be judged.
    assert all(gap.size == len(gap.examples) for gap in report.gaps), "a group is larger than its examples"
    groups = {each.turn_id: n for n, gap in enumerate(report.gaps) for each in gap.examples}
    unanswerable = {id: n for id, n in groups.items() if id in themes}
    result = {
        "turns": report.turns,
        "unsettled": report.unsettled,
        "unanswerable": f"{len(unanswerable)} of {len(themes)}",
        "sizes": dict(sorted(Counter(gap.size for gap in report.gaps).items())),
        "subjects": judged(groups, {id: subject(id) for id in groups}),
        "themes": judged(unanswerable, themes),
    }
    print(json.dumps(result, ensure_ascii=False, indent=1))


if __name__ == "__main__":
    asked = [json.loads(line) for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()]
    given = dict(line.split("\t") for line in THEMES.read_text(encoding="utf-8").splitlines())
    asyncio.run(main(asked, given))
