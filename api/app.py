"""The FastAPI application: routes around the services that the lifespan opens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from api.observability.logs import configure_logs
from api.observability.request_log import RequestLog
from api.observability.tracing import TraceRequests
from api.services import open_services
from api.settings import Settings, load_settings
from api.web.body_limit import BodyLimit
from api.web.openai import routes as openai
from api.web.openai.gateway import Gateway
from api.web.problems import DOCUMENTED, install_problem_handlers
from api.web.routes import chat, chat_socket, faqs, jobs, operations, providers, sessions
from api.web.routes.page import mount_page


class _Application(FastAPI):
    """FastAPI with layers in front of it: a raw completion would pay for its own, and not need them."""

    in_front: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Through our layers, then FastAPI's."""
        scope["app"] = self
        await self.in_front(scope, receive, send)


def _in_front(settings: Settings, app: ASGIApp) -> ASGIApp:
    app = Gateway(app, max_bytes=settings.server.max_raw_body_bytes)
    if settings.tracing.endpoint:
        app = TraceRequests(app)
    return RequestLog(app, json_lines=settings.log.format == "json")


def create_app(settings: Settings | None = None) -> FastAPI:
    """Puts the application together; resources open when it starts and close when it ends."""
    settings = settings or load_settings()
    configure_logs(settings.log)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_services(settings) as services:
            app.state.services = services
            yield

    app = _Application(
        title="smartstore-chatbot",
        summary="FAQ assistant for Naver Smartstore sellers: grounded answers as event streams.",
        version=version("smartstore-chatbot"),
        lifespan=lifespan,
        responses=DOCUMENTED,
    )
    app.add_middleware(BodyLimit, max_bytes=settings.server.max_body_bytes)
    app.in_front = _in_front(settings, super(_Application, app).__call__)
    install_problem_handlers(app)
    for area in (chat, chat_socket, sessions, faqs, providers, jobs, openai, operations):
        app.include_router(area.router)
    mount_page(app)
    return app
