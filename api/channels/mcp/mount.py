"""The MCP server at `/mcp`: streamable HTTP behind the same keys and limits as every other route.

Stateless, so that any process of many can answer any request.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import Any

from fastapi import FastAPI
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from api.access.auth import Caller, caller_of
from api.errors import ApiError
from api.services import Services
from api.web.problems import refusal

PATH = "/mcp"


@asynccontextmanager
async def mount_mcp(app: FastAPI, services: Services) -> AsyncIterator[None]:
    """Serves MCP while the context lasts, where the settings want it and the SDK is installed."""
    if not services.settings.channels.mcp or find_spec("mcp") is None:
        yield
        return
    from mcp.server.transport_security import TransportSecuritySettings

    from api.channels.mcp.server import faq_server

    server = faq_server(services, _asking)
    # Who may come in, from which page, is checked by `_Endpoint`, as for every route.
    open_door = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    limit = services.settings.server.max_body_bytes
    server.streamable_http_app(stateless_http=True, transport_security=open_door, max_request_body_size=limit)
    manager = server.session_manager
    async with manager.run():
        # Before the page's catch-all, if there is one: the order of routes decides.
        app.router.routes.insert(0, Route(PATH, _Endpoint(services, manager.handle_request)))
        yield


class _Endpoint:
    """The door in front of the SDK's own endpoint."""

    def __init__(self, services: Services, handle: Any) -> None:
        self._access, self._handle = services.access, handle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets a caller with the scope `chat` in."""
        try:
            await self._access.admit(await caller_of(scope), "chat")
        except ApiError as exc:
            response = refusal(PATH, exc.status, exc.code, exc.message, retry_after=exc.retry_after)
            await response(scope, receive, send)
            return
        await self._handle(scope, receive, send)


def _asking(context: Any) -> Caller:
    """Who sent the HTTP request that a tool runs for."""
    caller: Caller = context.request_context.request.scope["state"]["caller"]
    return caller
