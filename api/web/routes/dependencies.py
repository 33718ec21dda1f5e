"""What every route needs: the services and the caller."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request, WebSocket

from api.access.auth import Caller, authorise, authorise_admin
from api.services import Services


def services(request: Request = None, websocket: WebSocket = None) -> Services:  # type: ignore[assignment]
    """The process's services, opened in the lifespan."""
    connection = request or websocket
    opened: Services = connection.state.services
    return opened


ServicesDep = Annotated[Services, Depends(services)]
CallerDep = Annotated[Caller, Depends(authorise)]
AdminDep = Annotated[Caller, Depends(authorise_admin)]
