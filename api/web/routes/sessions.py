"""Conversations over HTTP: read and delete."""

from __future__ import annotations

from fastapi import APIRouter, Response
from pydantic import BaseModel

from api.turns.saved import SavedTurn
from api.web.routes.dependencies import CallerDep, ServicesDep

router = APIRouter(prefix="/sessions", tags=["sessions"])


class SessionView(BaseModel):
    """A conversation with its turns, oldest first."""

    session_id: str
    provider: str
    turns: list[SavedTurn]


@router.get("/{session_id}")
async def read_session(session_id: str, services: ServicesDep, caller: CallerDep) -> SessionView:
    """A conversation of this caller; a turn whose process died shows as failed."""
    info = await services.sessions.get(session_id, owner=caller.id)
    turns = await services.turns.history(session_id, owner=caller.id)
    return SessionView(
        session_id=session_id, provider=info.provider or services.providers.default, turns=turns
    )


@router.delete("/{session_id}", status_code=204)
async def delete_session(session_id: str, services: ServicesDep, caller: CallerDep) -> Response:
    """Forgets a conversation; turns that run in it are stopped."""
    await services.turns.delete_session(session_id, owner=caller.id)
    return Response(status_code=204)
