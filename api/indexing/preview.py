"""What an edit would do, before it is made: questions searched in the index as it is and as it would be."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pydantic import BaseModel

from api.errors import Conflict
from api.history.store import History, TurnFilter
from api.indexing.edited import Served, file_corpus
from retrieval.edits.overlay import Entry, Overlay, merged, new_id
from retrieval.edits.patched import PatchedIndex
from retrieval.index.base import FaqIndex
from retrieval.index.build import columns
from retrieval.index.memory import MemoryIndex
from retrieval.index.prepare import Known, prepare
from retrieval.index.rows import view_texts
from retrieval.search import Searcher

if TYPE_CHECKING:
    from api.services import Services


class Found(BaseModel):
    """What a question finds first, before and after; `score` is the probability that it answers."""

    question: str
    before_id: str = ""
    before: str = ""
    before_score: float = 0.0
    after_id: str = ""
    after: str = ""
    after_score: float = 0.0


class Preview(BaseModel):
    """The questions that were named, and of the replayed turns those that would change."""

    questions: list[Found]
    replayed: int
    changed: list[Found]


async def preview(
    services: Services,
    history: History,
    entry: Entry,
    *,
    faq_id: str,
    questions: tuple[str, ...],
    replay: int,
) -> Preview:
    """Searches before and after; see `Preview`."""
    answered = await history.turns(TurnFilter(verdict="answered"), limit=replay) if replay else []
    past = tuple(dict.fromkeys(row["standalone"] for row in answered))
    overlay: Overlay = await services.curation.edits.overlay() if services.curation else {}
    served = await asyncio.to_thread(file_corpus, services.settings)
    id = faq_id or new_id(entry.question, {**served[0].by_id, **overlay})
    own = questions or (entry.question, *entry.expansions)
    now = services.engine.searcher
    named, replayed = await asyncio.to_thread(_compare, now, served, {**overlay, id: entry}, id, (own, past))
    changed = [each for each in replayed if each.before_id != each.after_id]
    return Preview(questions=named, replayed=len(past), changed=changed)


def in_memory(index: FaqIndex) -> MemoryIndex:
    """The index, if it is held in memory. Raises `Conflict` where Milvus searches."""
    if not isinstance(index, MemoryIndex):
        raise Conflict("FAQ가 너무 많아 목록과 미리보기를 만들 수 없습니다(index.snapshot_max_faqs).")
    return index


def _compare(
    now: Searcher, served: Served, overlay: Overlay, id: str, asked: tuple[tuple[str, ...], tuple[str, ...]]
) -> tuple[list[Found], list[Found]]:
    after = _with(now, served, overlay, id)
    first, second = ([_found(now, after, question) for question in questions] for questions in asked)
    return first, second


def _with(now: Searcher, served: Served, overlay: Overlay, id: str) -> Searcher:
    """The searcher with this one FAQ as the overlay has it; the index in service is not touched."""
    corpus, wordings = merged(*served, overlay)
    views = view_texts([corpus.by_id[id]], wordings)
    prepared = prepare(views, now.embedder, now.tokenizer, Known(), lambda *_: None)
    index = in_memory(now.index)
    rows = columns(views, prepared, type(corpus)((corpus.by_id[id],), (), corpus.source, ""))
    patched = PatchedIndex(index, frozenset([id]), rows, fingerprint="preview")
    return now.over(patched)


def _found(now: Searcher, after: Searcher, question: str) -> Found:
    found = Found(question=question)
    if hits := now.search(question, limit=1).hits:
        top = hits[0]
        found = found.model_copy(
            update={"before_id": top.faq.id, "before": top.faq.question, "before_score": round(top.score, 3)}
        )
    if hits := after.search(question, limit=1).hits:
        top = hits[0]
        found = found.model_copy(
            update={"after_id": top.faq.id, "after": top.faq.question, "after_score": round(top.score, 3)}
        )
    return found
