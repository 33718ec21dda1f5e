"""The gap report: unsettled questions grouped by meaning, each group with what would mend it.

Knows the history, the search and the groups; writes nothing.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from api.history.entry import Row
from api.history.store import History, TurnFilter
from api.insights.asked import Asked, faulty
from api.insights.clustering import centred, clusters, most_central
from api.insights.vectors import question_vectors
from retrieval.index.memory import MemoryIndex
from retrieval.search import Searcher

Proposal = Literal["new_entry", "add_wordings", "incomplete", "refused_wrongly"]
MOST_TURNS = 5000
_MOST_GROUPS = 200
_EXAMPLES = 8
_NEAREST = 3
_AXIS_TITLES = 64
# Where groups are cut, measured on five sellers' wordings for each of 68 FAQs with E5: 75 of 100 pairs in
# a group belong together, and 54 of 100 that do are in one; at 0.5 it is 90 and 23, and groups fall apart.
_TOGETHER = 0.35
# The probability from which the nearest FAQ is taken for the one that only lacks the wording. Of sellers'
# questions that no FAQ answers 72 of 100 stay below, of those that one answers 25 of 100 (E5, the real FAQ).
_NEAR = 0.5
# What masking left of personal data says nothing of a question's meaning.
_MASKS = re.compile(r"\[(?:이메일|주민등록번호|전화번호|카드번호|사업자등록번호|계좌번호)\]")


class Example(BaseModel):
    """One question of a group."""

    turn_id: str
    question: str
    fault: str
    started_ms: int


class Near(BaseModel):
    """A FAQ that is near; `score` is the probability that it answers."""

    faq_id: str
    question: str
    score: float


class Gap(BaseModel):
    """A group of questions that one edit could settle."""

    title: str = Field(description="the question that is most like all of them")
    size: int = Field(description="how often it was asked")
    sessions: int = Field(description="by how many")
    faults: dict[str, int] = Field(description="not_found, unsure, off_topic, down, again, failed")
    earlier: int = Field(description="how many in the first half of the time")
    later: int = Field(description="how many in the second half")
    last_ms: int
    examples: list[Example]
    nearest: list[Near]
    proposal: Proposal
    faq_id: str = Field("", description="which FAQ to mend, where the proposal names one")


class GapReport(BaseModel):
    """Groups, largest first, and out of how many turns."""

    turns: int
    unsettled: int
    gaps: list[Gap]


async def gap_report(
    history: History, searcher: Searcher, *, days: float = 7.0, limit: int = 50
) -> GapReport:
    """What the last `days` days left unsettled.

    Raises:
        HistoryUnavailable, EmbedderError, IndexUnavailable: something is away.
    """
    until_ms = int(time.time() * 1000)
    since_ms = until_ms - int(days * 86_400_000)
    rows = (await history.turns(TurnFilter(since_ms=since_ms), limit=MOST_TURNS))[::-1]
    vectors = await _centred(
        history, searcher, [_MASKS.sub("", row["standalone"]).strip() or "?" for row in rows]
    )
    found = faulty(rows, vectors)
    if not found:
        return GapReport(turns=len(rows), unsettled=0, gaps=[])
    part = vectors[[asked.position for asked in found]]
    groups = await asyncio.to_thread(clusters, part, threshold=_TOGETHER)
    halfway = (since_ms + until_ms) // 2
    gaps = [
        await asyncio.to_thread(
            _gap, [found[n] for n in group], found[most_central(part, group)], searcher, halfway
        )
        for group in groups[: limit * 2]
    ]
    gaps.sort(key=lambda gap: (_lone_off_topic(gap), -gap.size, -gap.last_ms))
    return GapReport(turns=len(rows), unsettled=len(found), gaps=gaps[:limit])


def _lone_off_topic(gap: Gap) -> bool:
    """Asked by one alone and about something else: mostly play, so it comes last."""
    return gap.sessions == 1 and set(gap.faults) == {"off_topic"} and gap.proposal == "new_entry"


async def _centred(history: History, searcher: Searcher, texts: Sequence[str]) -> NDArray[np.float32]:
    """Vectors of the questions without what any two questions about this FAQ share."""
    vectors = await question_vectors(history.engine, searcher.embedder, texts)
    index = searcher.index
    titles = [faq.question for faq in index.faqs()] if isinstance(index, MemoryIndex) else list(texts)
    titles = titles[:: max(1, len(titles) // _AXIS_TITLES)][:_AXIS_TITLES]
    if not titles or not len(vectors):
        return vectors
    axis = await question_vectors(history.engine, searcher.embedder, titles)
    return centred(vectors, axis.mean(axis=0))


def _gap(group: list[Asked], central: Asked, searcher: Searcher, halfway_ms: int) -> Gap:
    rows = [asked.row for asked in group]
    title = str(central.row["standalone"])
    hits = searcher.search(title, limit=_NEAREST).hits
    nearest = [Near(faq_id=hit.faq.id, question=hit.faq.question, score=round(hit.score, 3)) for hit in hits]
    faults: Counter[str] = Counter(asked.fault for asked in group)
    proposal, faq_id = _proposal(faults, rows, nearest)
    newest = sorted(group, key=lambda asked: -asked.row["started_ms"])
    later = sum(row["started_ms"] >= halfway_ms for row in rows)
    return Gap(
        title=title,
        size=len(group),
        sessions=len({row["session_id"] or row["id"] for row in rows}),
        faults=dict(faults),
        earlier=len(rows) - later,
        later=later,
        last_ms=newest[0].row["started_ms"],
        examples=[
            Example(turn_id=each.row["id"], question=each.row["question"], fault=each.fault,
                    started_ms=each.row["started_ms"])
            for each in newest[:_EXAMPLES]
        ],
        nearest=nearest,
        proposal=proposal,
        faq_id=faq_id,
    )  # fmt: skip


def _proposal(faults: Counter[str], rows: Sequence[Row], nearest: Sequence[Near]) -> tuple[Proposal, str]:
    """What would mend it: the fault that is most frequent decides."""
    near = nearest[0] if nearest and nearest[0].score >= _NEAR else None
    main = faults.most_common(1)[0][0]
    if main in ("down", "again"):
        given = Counter(row["sources"][0]["faq_id"] for row in rows if row["sources"])
        if given:
            return "incomplete", given.most_common(1)[0][0]
    if near is None:
        return "new_entry", ""
    return ("refused_wrongly" if main == "off_topic" else "add_wordings"), near.faq_id
