"""Conversations over HTTP: read and delete."""

from __future__ import annotations

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from api.channels.hand_over.deliveries import Deliveries
from api.errors import HistoryUnavailable, NotFound
from api.services import Services
from api.turns.saved import SavedTurn
from api.web.routes.dependencies import CallerDep, ServicesDep

router = APIRouter(prefix="/sessions", tags=["sessions"])


class SessionView(BaseModel):
    """A conversation with its turns, oldest first."""

    session_id: str
    provider: str
    turns: list[SavedTurn]
    ratings: dict[str, str] = Field({}, description="thumbs of the caller: up or down, by turn")


@router.get("/{session_id}")
async def read_session(session_id: str, services: ServicesDep, caller: CallerDep) -> SessionView:
    """A conversation of this caller; a turn whose process died shows as failed."""
    info = await services.sessions.get(session_id, owner=caller.id)
    turns = await services.turns.history(session_id, owner=caller.id)
    return SessionView(
        session_id=session_id,
        provider=info.provider or services.providers.default,
        turns=turns,
        ratings=await _ratings(services, session_id),
    )


@router.delete("/{session_id}", status_code=204)
async def delete_session(session_id: str, services: ServicesDep, caller: CallerDep) -> Response:
    """Forgets a conversation, its history and its hand-overs; turns that run in it are stopped."""
    handed_over = await Deliveries(services.state).erase(session_id, owner=caller.id)
    try:
        await services.turns.delete_session(session_id, owner=caller.id)
    except NotFound:
        # The history and a dead hand-over are kept longer than the state store keeps conversations.
        history = services.history
        if not handed_over and (history is None or not await history.owns_session(session_id, caller.id)):
            raise
    if services.outbox is not None:
        await services.outbox.erase(session_id)
    return Response(status_code=204)


async def _ratings(services: Services, session_id: str) -> dict[str, str]:
    """The session's thumbs; none while the history is away: the conversation itself is there."""
    if services.history is None:
        return {}
    try:
        found = await services.history.ratings(session_id)
    except HistoryUnavailable:
        return {}
    return {turn_id: row["rating"] for turn_id, row in found.items()}
