"""What the history tells: gaps and summaries over HTTP."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query

from api.insights.gaps import GapReport, gap_report
from api.insights.models import Models, adapters, measures
from api.insights.summary import Summary, summary
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


@router.get("/summary")
async def show_summary(
    _reader: ReaderDep, history: HistoryDep, days: Annotated[int, Query(ge=1, le=90)] = 7
) -> Summary:
    """Verdicts, latency, ratings and resolution by day, and what is asked most."""
    return await summary(history, days=days)


@router.get("/models")
async def models(
    services: ServicesDep,
    _reader: ReaderDep,
    history: HistoryDep,
    days: Annotated[float, Query(gt=0, le=366)] = 30,
) -> Models:
    """How each model fared, both sides of an adapter's trial included, and the adapters."""
    found = await asyncio.to_thread(adapters, services.settings)
    return Models(models=await measures(history, days=days), adapters=found)
