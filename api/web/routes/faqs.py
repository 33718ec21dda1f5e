"""The FAQ over HTTP: search and read."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from api.errors import NotFound
from api.turns.start import check_question
from api.web.routes.dependencies import CallerDep, ServicesDep
from retrieval.corpus.faq import Faq

router = APIRouter(prefix="/faqs", tags=["faqs"])


class FaqView(BaseModel):
    """A FAQ as it is shown."""

    id: str
    question: str
    answer: str
    categories: tuple[str, ...]
    related: tuple[str, ...]
    link: str = Field(description="where it was published; empty where the corpus does not say")
    date: str = Field(description="the day of its last change, 2026-03-02; empty likewise")

    @classmethod
    def of(cls, faq: Faq) -> FaqView:
        """The view of `faq`."""
        return cls(
            id=faq.id, question=faq.question, answer=faq.answer,
            categories=faq.categories, related=faq.related, link=faq.link, date=faq.date,
        )  # fmt: skip


class HitView(BaseModel):
    """A search hit: `score` is the probability that this FAQ answers the query."""

    score: float
    scores: dict[str, float]
    faq: FaqView


class SearchView(BaseModel):
    """What a search found, best first; timings in milliseconds."""

    query: str
    hits: list[HitView]
    timings_ms: dict[str, float]


@router.get("/search")
async def search(
    services: ServicesDep,
    _caller: CallerDep,
    q: Annotated[str, Query(description="the question", examples=["배송비 설정 방법"])],
    limit: Annotated[int, Query(ge=1, le=50)] = 10,
) -> SearchView:
    """Hybrid search over questions, answers and expansions."""
    text = check_question(q, max_chars=services.settings.server.max_question_chars)
    search = partial(services.engine.searcher.search, text, limit=limit)
    result = await services.engine.conversation.lanes.run(text, search)
    hits = [
        HitView(
            score=round(h.score, 4),
            scores={k: round(v, 4) for k, v in h.scores.items()},
            faq=FaqView.of(h.faq),
        )
        for h in result.hits
    ]
    return SearchView(query=text, hits=hits, timings_ms=_rounded(result.timings_ms))


@router.get("/{faq_id}")
async def read_faq(
    services: ServicesDep, _caller: CallerDep, faq_id: Annotated[str, Path(max_length=64)]
) -> FaqView:
    """One FAQ, whole."""
    found = await asyncio.to_thread(services.engine.searcher.index.get, [faq_id])
    if faq_id not in found:
        raise NotFound(f"FAQ '{faq_id}'을(를) 찾을 수 없습니다.")
    return FaqView.of(found[faq_id])


def _rounded(values: Mapping[Any, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in values.items()}
