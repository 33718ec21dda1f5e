"""What every route needs: the services and the caller.

All are coroutines: FastAPI calls an ordinary function in another thread, a hop a request.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request, WebSocket

from api.access.auth import Caller, authorise, authorise_admin, authorise_history
from api.errors import NotFound
from api.history.store import History
from api.services import Services


async def services(request: Request = None, websocket: WebSocket = None) -> Services:  # type: ignore[assignment]
    """The process's services, opened in the lifespan."""
    connection = request or websocket
    opened: Services = connection.state.services
    return opened


async def history(opened: Annotated[Services, Depends(services)]) -> History:
    """The history. Raises `NotFound` where the settings turn it off."""
    if opened.history is None:
        raise NotFound("이 서버는 질문 기록을 남기지 않습니다(history.enabled).")
    return opened.history


ServicesDep = Annotated[Services, Depends(services)]
HistoryDep = Annotated[History, Depends(history)]
CallerDep = Annotated[Caller, Depends(authorise)]
AdminDep = Annotated[Caller, Depends(authorise_admin)]
ReaderDep = Annotated[Caller, Depends(authorise_history)]
