"""The application: FastAPI's routes behind a few plain ASGI layers.

Every layer and route finds the open services in the ASGI state, as `scope["state"]["services"]`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from starlette.middleware.opentelemetry import OpenTelemetryMiddleware
from starlette.types import ASGIApp

from api.access import routes as keys
from api.adapters import routes as adapters
from api.channels.hand_over import routes as hand_over
from api.channels.mcp.mount import mount_mcp
from api.channels.mount import mount_messengers
from api.insights import routes as insights
from api.observability.request_log import RequestLog
from api.services import Services
from api.web.body_limit import BodyLimit
from api.web.cors import with_cors
from api.web.identify import IdentifyCallers
from api.web.openai import rerank
from api.web.openai import routes as openai
from api.web.openai.gateway import Gateway
from api.web.openai.responses import routes as responses
from api.web.own_host import OwnHost
from api.web.problems import DOCUMENTED, install_problem_handlers
from api.web.routes import chat, chat_socket, curation, faqs, history, jobs, operations, providers, sessions
from api.web.routes.page import mount_page
from api.web.routes.reference import mount_reference

_PROBES = ("/health$", "/ready$", "/metrics$")


def create_app(services: Services) -> ASGIApp:
    """Puts the application together around open services, which outlive it."""
    settings = services.settings
    # The gateway answers raw completions in front of FastAPI, whose machinery costs more than all of it.
    app: ASGIApp = Gateway(_routes(services), max_bytes=settings.server.max_raw_body_bytes)
    app = with_cors(OwnHost(IdentifyCallers(app), settings), settings.server.origins)
    if settings.tracing.endpoint:
        app = OpenTelemetryMiddleware(app, excluded_urls=_PROBES)
    return RequestLog(app, json_lines=settings.log.format == "json")


def _routes(services: Services) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with mount_mcp(app, services), mount_messengers(app, services):
            yield {"services": services}

    app = FastAPI(
        title="smartstore-chatbot",
        summary="FAQ assistant for Naver Smartstore sellers: grounded answers as event streams.",
        version=version("smartstore-chatbot"),
        lifespan=lifespan,
        responses=DOCUMENTED,
        # The layer in front makes the span of a request, the gateway's included.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        docs_url=None,
        redoc_url=None,
    )
    app.add_middleware(BodyLimit, max_bytes=services.settings.server.max_body_bytes)
    install_problem_handlers(app)
    for area in (
        chat,
        chat_socket,
        sessions,
        hand_over,
        keys,
        adapters,
        curation,
        faqs,
        history,
        insights,
        providers,
        jobs,
        openai,
        responses,
        rerank,
        operations,
    ):
        app.include_router(area.router)
    mount_reference(app)
    mount_page(app, services.settings)
    return app
