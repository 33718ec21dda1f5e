"""What the history tells: gaps and summaries over HTTP."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field

from api.errors import InvalidRequest, NotFound, ProviderError
from api.insights.drafts import BadDraft, Draft, draft
from api.insights.gaps import GapReport, gap_report
from api.insights.models import Models, measures
from api.insights.summary import Summary, summary
from api.text import RequestBody
from api.web.routes.dependencies import HistoryDep, ReaderDep, ServicesDep

router = APIRouter(prefix="/insights", tags=["insights"])


@router.get("/gaps")
async def gaps(
    services: ServicesDep,
    _reader: ReaderDep,
    history: HistoryDep,
    days: Annotated[float, Query(gt=0, le=366)] = 7,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> GapReport:
    """Questions that were not settled, grouped by meaning, each group with what would mend it."""
    return await gap_report(history, services.engine.searcher, days=days, limit=limit)


class DraftBody(RequestBody):
    """The turns of a gap, and who writes."""

    model_config = ConfigDict(extra="forbid")

    turn_ids: list[Annotated[str, Field(max_length=64)]] = Field(min_length=1, max_length=20)
    provider: str = Field("", max_length=128, description="an LLM by name; empty: the default provider")


@router.post("/gaps/draft")
async def draft_gap(body: DraftBody, services: ServicesDep, _reader: ReaderDep, history: HistoryDep) -> Draft:
    """A title and a draft for a gap by an LLM, which quotes only what people wrote."""
    provider = services.providers.get(body.provider or None)
    if not provider.llm:
        raise InvalidRequest(f"'{provider.name}'은(는) 글을 쓰지 않습니다. LLM인 provider를 골라 주세요.")
    rows = [row for turn_id in dict.fromkeys(body.turn_ids) if (row := await history.turn(turn_id))]
    texts = [text for row in rows for text in (row["question"], row["comment"] or "") if text]
    if not texts:
        raise NotFound("이 질문들의 기록을 찾을 수 없습니다.")
    try:
        return await draft(texts, services.providers, provider.name)
    except BadDraft as exc:
        message = "모델이 쓸 수 있는 초안을 쓰지 못했습니다."
        raise ProviderError(provider.name, message, english=f"wrote no usable draft: {exc}") from exc


@router.get("/summary")
async def show_summary(
    _reader: ReaderDep, history: HistoryDep, days: Annotated[int, Query(ge=1, le=90)] = 7
) -> Summary:
    """Verdicts, latency, ratings and resolution by day, and what is asked most."""
    return await summary(history, days=days)


@router.get("/models")
async def models(
    _reader: ReaderDep,
    history: HistoryDep,
    days: Annotated[float, Query(gt=0, le=366)] = 30,
) -> Models:
    """How each model fared, both sides of an adapter's trial included."""
    return Models(models=await measures(history, since_ms=int((time.time() - days * 86_400) * 1000)))
