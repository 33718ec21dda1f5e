"""One log line and one metric per request, and a request id that every line of it carries."""

from __future__ import annotations

import asyncio
import random
import re
import time
from typing import Any, NamedTuple

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.observability.logs import write_lines

log = structlog.get_logger(__name__)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TOGETHER_S = 0.1
_MOST_TOGETHER = 1000
_SCRAPE = "/metrics"
QUIET = frozenset({"/health", "/ready", _SCRAPE})


class _Ended(NamedTuple):
    """A request that is over, waiting to be counted and logged."""

    scope: Scope
    status: int
    first_byte_s: float
    total_s: float
    request_id: str
    at: float


class RequestLog:
    """ASGI middleware: takes or makes `X-Request-Id`, logs and counts the response.

    What has ended is counted and written ten times a second, all at once: one by one, that would be
    a fifth of what a raw completion costs. A scrape of the metrics finds everything counted; a process
    that is killed leaves out the last tenth of a second.
    """

    def __init__(self, app: ASGIApp, *, json_lines: bool = True) -> None:
        """`json_lines`: as the log's format is, instead of the console's."""
        self._app, self._json_lines = app, json_lines
        self._ended: list[_Ended] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, watching the response's start."""
        if scope["type"] != "http":
            try:
                await self._app(scope, receive, send)
            finally:
                # Of the lifespan: nothing comes after it.
                self._record()
            return
        if scope["path"] == _SCRAPE:
            self._record()
        given = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
        request_id = given if _REQUEST_ID.fullmatch(given) else f"{random.getrandbits(64):016x}"
        structlog.contextvars.bind_contextvars(request_id=request_id)
        started, status, first_byte_s = time.perf_counter(), 500, 0.0

        async def watched(message: Message) -> None:
            nonlocal status, first_byte_s
            if message["type"] == "http.response.start":
                status, first_byte_s = message["status"], time.perf_counter() - started
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            total_s = time.perf_counter() - started
            ended = _Ended(scope, status, first_byte_s or total_s, total_s, request_id, time.time())
            self._ended.append(ended)
            if len(self._ended) == 1:
                asyncio.get_running_loop().call_later(_TOGETHER_S, self._record)
            elif len(self._ended) >= _MOST_TOGETHER:
                self._record()

    def _record(self) -> None:
        ended, self._ended = self._ended, []
        lines: list[dict[str, Any]] = []
        for scope, status, first_byte_s, total_s, request_id, at in ended:
            method, path = scope["method"], scope["path"]
            services = scope.get("state", {}).get("services")
            if services is not None:
                route = getattr(scope.get("route"), "path", "other")
                services.metrics.request(method, route, status, first_byte_s)
            if path not in QUIET:
                lines.append(
                    {"event": "request", "method": method, "path": path, "status": status,
                     "first_byte_ms": round(first_byte_s * 1000, 1), "total_ms": round(total_s * 1000, 1),
                     "request_id": request_id, "timestamp": at}
                )  # fmt: skip
        if self._json_lines:
            write_lines(__name__, lines)
        else:
            for line in lines:
                log.info(**line)
