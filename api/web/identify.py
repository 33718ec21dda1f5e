"""Who asks is known before what they send is read."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.types import ASGIApp, Receive, Scope, Send

from api.access.auth import caller_of
from api.errors import ApiError
from api.web.problems import refusal

_WEBHOOKS = "/channels/"


class IdentifyCallers:
    """ASGI middleware: refuses a request with a body by its headers alone where its caller is unknown.

    FastAPI reads and parses a body before it looks at a route's dependencies, and so did the gateway:
    nobody without a key shall make this process do that. Requests without a body are left to their
    routes, some of which (the page, the probes) anybody may ask.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, its caller in `scope["state"]`."""
        # A messenger's webhook has its secret in the path, and looks at it first itself.
        webhook = scope["type"] == "http" and scope["path"].startswith(_WEBHOOKS)
        if scope["type"] == "http" and not webhook and _has_body(scope["headers"]):
            try:
                await caller_of(scope)
            except ApiError as exc:
                refused = refusal(
                    scope["path"], exc.status, exc.code, exc.message, retry_after=exc.retry_after
                )
                await refused(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _has_body(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        for name, value in headers
    )
