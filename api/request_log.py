"""One log line and one metric per request, and a request id that every line of it carries."""

from __future__ import annotations

import random
import re
import time
from functools import partial

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.logs import write_line

log = structlog.get_logger(__name__)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
QUIET = frozenset({"/health", "/ready", "/metrics"})


class RequestLog:
    """ASGI middleware: takes or makes `X-Request-Id`, logs and counts the response."""

    def __init__(self, app: ASGIApp, *, json_lines: bool = True) -> None:
        """`json_lines`: as the log's format is, instead of the console's."""
        self._app, self._log = app, partial(write_line, __name__) if json_lines else log.info

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, watching the response's start."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
        request_id = given if _REQUEST_ID.fullmatch(given) else f"{random.getrandbits(64):016x}"
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        started, status, first_byte = time.perf_counter(), 500, 0.0

        async def watched(message: Message) -> None:
            nonlocal status, first_byte
            if message["type"] == "http.response.start":
                status, first_byte = message["status"], time.perf_counter() - started
                given_headers = message.get("headers", ())
                message["headers"] = [*given_headers, (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            self._record(scope, status, first_byte or time.perf_counter() - started, started)

    def _record(self, scope: Scope, status: int, first_byte: float, started: float) -> None:
        path = scope["path"]
        route = getattr(scope.get("route"), "path", "other")
        services = getattr(scope["app"].state, "services", None) if "app" in scope else None
        if services is not None:
            services.metrics.request(scope["method"], route, status, first_byte)
        if path not in QUIET:
            total_ms = round((time.perf_counter() - started) * 1000, 1)
            first_ms = round(first_byte * 1000, 1)
            method = scope["method"]
            self._log(
                "request", method=method, path=path, status=status, first_byte_ms=first_ms, total_ms=total_ms
            )
