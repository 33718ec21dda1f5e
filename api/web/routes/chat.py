"""Turns over HTTP: ask and follow as server-sent events, replay, resume, stop."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import ConfigDict, Field

from api.access.auth import Caller
from api.errors import InvalidRequest
from api.services import Services
from api.text import RequestBody
from api.turns.start import Question, ask
from api.web import sse
from api.web.routes.dependencies import CallerDep, ServicesDep
from api.web.streaming import EventStream

router = APIRouter(prefix="/chat", tags=["chat"])
_EXAMPLE = (
    'id: 1\nevent: turn.started\ndata: {"turn_id":"t_…","session_id":"s_…","provider":"…","model":"…"}\n\n'
    'id: 2\nevent: delta\ndata: {"text":"…"}\n\n'
)
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The turn's events; see the README for each event's data.",
        "content": {"text/event-stream": {"example": _EXAMPLE}},
    }
}


class ChatRequest(RequestBody):
    """A question to answer."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"question": "정산은 언제 되나요?"}]},
    )

    question: str = Field(description="in Korean; at most 2,000 characters")
    session_id: str | None = Field(None, description="the conversation to continue")
    provider: str | None = Field(None, description="who answers; see GET /providers")


@router.post("", response_class=StreamingResponse, responses=_STREAM)
async def chat(
    body: ChatRequest,
    services: ServicesDep,
    caller: CallerDep,
    idempotency_key: Annotated[str, Header(max_length=200)] = "",
) -> EventStream:
    """Asks a question and streams the turn's events.

    The same `Idempotency-Key` gives the same turn again, from its first event.
    """
    question = Question(body.question, body.session_id, body.provider, idempotency_key)
    begun = await ask(services, caller, question)
    return _events(services, caller, begun.turn_id, after=0, session_id=begun.session_id)


@router.get("/turns/{turn_id}/events", response_class=StreamingResponse, responses=_STREAM)
async def events(
    turn_id: str,
    services: ServicesDep,
    caller: CallerDep,
    last_event_id: Annotated[str, Header()] = "",
    after: Annotated[int, Query(ge=0, le=2**53)] = 0,
) -> EventStream:
    """Replays a turn's events after `Last-Event-ID` (or `after`), then follows it live."""
    if last_event_id and not (last_event_id.isascii() and last_event_id.isdigit()):
        raise InvalidRequest(f"Last-Event-ID '{last_event_id[:40]}'은(는) 숫자여야 합니다.")
    await services.turns.status(turn_id, owner=caller.id)
    return _events(services, caller, turn_id, after=int(last_event_id[:15] or after))


@router.delete("/turns/{turn_id}", status_code=202, response_class=Response)
async def stop(turn_id: str, services: ServicesDep, caller: CallerDep) -> Response:
    """Stops a running turn; what was shown so far is kept. An ended turn stays as it is."""
    await services.turns.status(turn_id, owner=caller.id)
    await services.runner.stop(turn_id)
    return Response(status_code=202)


def _events(
    services: Services, caller: Caller, turn_id: str, *, after: int, session_id: str = ""
) -> EventStream:
    following = services.follow(turn_id, after, key=caller.key)
    headers = {"X-Turn-Id": turn_id} | ({"X-Session-Id": session_id} if session_id else {})
    body = sse.stream(following, heartbeat_s=services.settings.server.heartbeat_s, encode=sse.encode)
    return EventStream(body, headers=headers)
