"""Hand-over over HTTP: whoever owns a conversation may hand it to a person."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from api.channels.hand_over.deliveries import Deliveries
from api.channels.hand_over.message import hand_over_body, hand_over_id
from api.errors import InvalidRequest, NotFound
from api.text import RequestBody
from api.web.routes.dependencies import CallerDep, ServicesDep

router = APIRouter(prefix="/sessions", tags=["sessions"])


class HandOverBody(RequestBody):
    """How to reach who asks."""

    model_config = ConfigDict(extra="forbid")

    contact: str = Field("", max_length=200, description="a phone number or an address; sent as it is")
    note: str = Field("", max_length=1000, description="what to add; personal data is masked")


class HandOver(BaseModel):
    """A hand-over that is on its way."""

    hand_over_id: str


@router.post("/{session_id}/hand-over", status_code=202)
async def hand_over(
    session_id: str, body: HandOverBody, services: ServicesDep, caller: CallerDep
) -> HandOver:
    """Hands the conversation to a person, once for each state of it."""
    if not services.settings.hand_over.url:
        raise NotFound("이 서버에는 상담원에게 넘기는 곳이 없습니다(hand_over.url).")
    turns = await services.turns.history(session_id, owner=caller.id)
    if not turns:
        raise InvalidRequest("넘길 대화가 아직 없습니다.")
    id = hand_over_id(session_id, turns)
    text = hand_over_body(id, session_id, turns, contact=body.contact.strip(), note=body.note.strip())
    queue = Deliveries(services.state)
    await queue.put(id, text, session_id=session_id, owner=caller.id)
    try:
        await services.sessions.get(session_id, owner=caller.id)
    except NotFound:
        # Deleted while it was being queued: what the deletion did not see yet goes here.
        await queue.erase(session_id, owner=caller.id)
        raise
    return HandOver(hand_over_id=id)
