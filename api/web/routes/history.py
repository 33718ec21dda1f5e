"""The history over HTTP: turns by filters, one in full, export; feedback of who asked."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from api.errors import InvalidRequest, NotFound
from api.history.edits import Edits
from api.history.export import corrected, csv_lines, jsonl_lines
from api.history.rating import rate_turn, readable_turn
from api.history.store import Rating, Reason, TurnFilter
from api.text import RequestBody
from api.web.routes.dependencies import CallerDep, HistoryDep, ReaderDep, ServicesDep

router = APIRouter(tags=["history"])
_EXPORT: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file.", "content": {"text/csv": {}, "application/x-ndjson": {}}}
}


async def turn_filter(
    verdict: Annotated[str, Query(max_length=32, description="answered, unsure, not_found… or failed")] = "",
    rating: Annotated[Literal["", "up", "down", "none", "any"], Query()] = "",
    since_ms: Annotated[int, Query(ge=0, le=2**53, description="ms since 1970")] = 0,
    until_ms: Annotated[int, Query(ge=0, le=2**53)] = 0,
    text: Annotated[str, Query(max_length=200, description="part of the question or the answer")] = "",
    provider: Annotated[str, Query(max_length=128)] = "",
    channel: Annotated[str, Query(max_length=32)] = "",
    session_id: Annotated[str, Query(max_length=64)] = "",
) -> TurnFilter:
    """Which turns the query asks for."""
    return TurnFilter(verdict, rating, since_ms, until_ms, text, provider, channel, session_id)


FilterDep = Annotated[TurnFilter, Depends(turn_filter)]


class TurnList(BaseModel):
    """A page of turns without their events, newest first."""

    turns: list[dict[str, Any]]
    total: int = Field(description="how many the filter has")
    next: str = Field(description="`before` of the next page; empty on the last one")


class Feedback(RequestBody):
    """What the caller thinks of an answer."""

    model_config = ConfigDict(extra="forbid")

    rating: Rating
    reason: Reason | Literal[""] = ""
    comment: str = Field("", max_length=2000)


@router.get("/history/turns")
async def list_turns(
    _reader: ReaderDep,
    history: HistoryDep,
    chosen: FilterDep,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: Annotated[str, Query(max_length=100, description="`next` of the page before")] = "",
) -> TurnList:
    """Turns by filters, newest first."""
    rows = await history.turns(chosen, limit=limit, before=_cursor(before))
    last = rows[-1] if len(rows) == limit else None
    following = f"{last['started_ms']}:{last['id']}" if last else ""
    return TurnList(turns=rows, total=await history.count(chosen), next=following)


@router.get("/history/export", response_class=StreamingResponse, responses=_EXPORT)
async def export(
    _reader: ReaderDep,
    history: HistoryDep,
    chosen: FilterDep,
    format: Annotated[Literal["csv", "jsonl"], Query()] = "csv",
) -> StreamingResponse:
    """Every turn of a filter as a file, streamed; formulas of spreadsheets are defused."""
    # Fails here, with a status, where the database is away; in the stream it could only break off.
    await history.count(chosen)
    lines = csv_lines if format == "csv" else jsonl_lines
    headers = {"Content-Disposition": f'attachment; filename="turns.{format}"', "Cache-Control": "no-store"}
    kind = "text/csv; charset=utf-8" if format == "csv" else "application/x-ndjson"
    rows = corrected(history.every(chosen), await Edits(history.engine).corrections())
    return StreamingResponse(lines(rows), media_type=kind, headers=headers)


@router.get("/history/turns/{turn_id}")
async def read_turn(turn_id: str, _reader: ReaderDep, history: HistoryDep) -> dict[str, Any]:
    """One turn in full, with its events and feedback."""
    found = await history.turn(turn_id)
    if found is None:
        raise NotFound(f"대화 턴 '{turn_id[:40]}'의 기록을 찾을 수 없습니다.")
    return found


@router.put("/chat/turns/{turn_id}/feedback", status_code=204, tags=["chat"])
async def rate(
    turn_id: str, body: Feedback, services: ServicesDep, caller: CallerDep, _history: HistoryDep
) -> Response:
    """Says whether the answer helped; a later word replaces an earlier one."""
    await rate_turn(services, caller, turn_id, body.rating, reason=body.reason, comment=body.comment)
    return Response(status_code=204)


@router.delete("/chat/turns/{turn_id}/feedback", status_code=204, tags=["chat"])
async def unrate(turn_id: str, services: ServicesDep, caller: CallerDep, history: HistoryDep) -> Response:
    """Takes the word back."""
    await readable_turn(services, caller, turn_id)
    await history.unrate(turn_id)
    return Response(status_code=204)


def _cursor(text: str) -> tuple[int, str] | None:
    if not text:
        return None
    ms, _, turn_id = text.partition(":")
    if not (ms.isascii() and ms.isdigit() and len(ms) < 16):
        raise InvalidRequest(f"before '{text[:40]}'은(는) 앞 쪽의 next 값이어야 합니다.")
    return int(ms), turn_id
