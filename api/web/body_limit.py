"""Bounds on what a request may send: the body's size, checked while it arrives.

Knows bytes only; what a body means is the routes' business.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.web.problems import refusal


class _BodyTooLarge(Exception):
    pass


class BodyLimit:
    """ASGI middleware: a body above `max_bytes` gets 413, declared or not."""

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self._app, self._max = app, max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, counting the bytes of its body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self._max:
            await self._refuse(scope, receive, send)
            return
        received, started = 0, False

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max:
                raise _BodyTooLarge
            return message

        async def watched(message: Message) -> None:
            nonlocal started
            if received > self._max and not started:
                # What reads the body may answer the fault in its own way (FastAPI: 400); 413 says what it is.
                raise _BodyTooLarge
            started = True
            await send(message)

        try:
            await self._app(scope, counted, watched)
        except _BodyTooLarge:
            if started:
                raise
            await self._refuse(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        detail = f"본문은 {self._max:,}바이트까지 보낼 수 있습니다."
        response = refusal(scope["path"], 413, "body_too_large", detail)
        await response(scope, receive, send)
