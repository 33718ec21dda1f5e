"""The application: FastAPI's routes behind a few plain ASGI layers.

The lifespan opens the services and puts them into its ASGI state, where every layer and route finds
them as `scope["state"]["services"]`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp

from api.observability.logs import configure_logs
from api.observability.request_log import RequestLog
from api.observability.tracing import TraceRequests
from api.services import open_services
from api.settings import Settings, load_settings
from api.web.body_limit import BodyLimit
from api.web.identify import IdentifyCallers
from api.web.openai import routes as openai
from api.web.openai.gateway import Gateway
from api.web.problems import DOCUMENTED, install_problem_handlers
from api.web.routes import chat, chat_socket, faqs, jobs, operations, providers, sessions
from api.web.routes.page import mount_page
from api.web.routes.reference import mount_reference


def create_app(settings: Settings | None = None) -> ASGIApp:
    """Puts the application together; resources open when it starts and close when it ends."""
    settings = settings or load_settings()
    configure_logs(settings.log)
    # The gateway answers raw completions in front of FastAPI, whose machinery costs more than all of it.
    app: ASGIApp = Gateway(_routes(settings), max_bytes=settings.server.max_raw_body_bytes)
    app = IdentifyCallers(app)
    if settings.tracing.endpoint:
        app = TraceRequests(app)
    return RequestLog(app, json_lines=settings.log.format == "json")


def _routes(settings: Settings) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with open_services(settings) as services:
            yield {"services": services}

    app = FastAPI(
        title="smartstore-chatbot",
        summary="FAQ assistant for Naver Smartstore sellers: grounded answers as event streams.",
        version=version("smartstore-chatbot"),
        lifespan=lifespan,
        responses=DOCUMENTED,
        docs_url=None,
        redoc_url=None,
    )
    app.add_middleware(BodyLimit, max_bytes=settings.server.max_body_bytes)
    install_problem_handlers(app)
    for area in (chat, chat_socket, sessions, faqs, providers, jobs, openai, operations):
        app.include_router(area.router)
    mount_reference(app)
    mount_page(app)
    return app
