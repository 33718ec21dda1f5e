"""Loopback is not trust: a page elsewhere can have its own name resolve to this machine.

Browsers say by which name they ask (`Host`), so a server that lets this machine in without a key answers
to its own names alone (see https://owasp.org/www-community/attacks/DNS_Rebinding). Knows names; not keys.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from api.access.auth import caller_of, on_this_machine
from api.access.loopback import is_loopback
from api.errors import ApiError, Forbidden, NotFound
from api.settings import Settings
from api.web.problems import refusal

_OPERATIONS = ("/metrics", "/docs", "/redoc", "/openapi.json", "/reference/")
_CONSOLE = ("/console", "/static/console/")


class OwnHost:
    """ASGI middleware: refuses names that are not this server's, and the operator's pages to others.

    Args:
        app: what comes next.
        settings: which names are this server's, and who may read metrics and reference.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._names = frozenset(name.lower() for name in settings.server.hosts)
        self._trusting = not settings.keys_required
        self._guarded = _OPERATIONS if settings.auth.operations else ()
        self._absent = (
            (*_OPERATIONS, *_CONSOLE) if settings.public.enabled and not settings.public.admin else ()
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, or refuses it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        try:
            if self._trusting and on_this_machine(scope):
                self._check_host(scope["headers"])
            if self._absent and scope["path"].startswith(self._absent):
                raise NotFound("찾을 수 없습니다.")
            if self._guarded and scope["path"].startswith(self._guarded) and not on_this_machine(scope):
                await caller_of(scope)
        except ApiError as exc:
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            refused = refusal(scope["path"], exc.status, exc.code, exc.message, retry_after=exc.retry_after)
            await refused(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _check_host(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        for host in (value.decode("latin-1") for name, value in headers if name == b"host"):
            try:
                name = urlsplit(f"//{host}").hostname or ""
            except ValueError:
                name = ""
            if not is_loopback(name) and name not in self._names:
                raise Forbidden(
                    f"'{host[:80]}'은(는) 이 서버의 이름이 아닙니다. 쓰려면 server.hosts에 더해 주세요."
                )
