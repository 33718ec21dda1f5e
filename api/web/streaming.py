"""Responses that are streams of server-sent events."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

import anyio
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send


class EventStream(StreamingResponse):
    """A stream whose source is closed when the reader has it all, and when the reader leaves.

    Starlette cancels the sending of a reader who leaves. A generator that waits at its `yield` at that
    moment would be closed only when the garbage collector finds it, and count as a reader until then.

    Args:
        body: the events, encoded.
        headers: besides those that keep proxies from holding events back.
        at_end: is awaited after the last event, and when the reader has left.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        body: AsyncGenerator[bytes],
        *,
        headers: Mapping[str, str] | None = None,
        at_end: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        no_buffers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(body, headers=no_buffers | dict(headers or {}))
        self._body, self._at_end = body, at_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the events."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            with anyio.CancelScope(shield=True):
                await self._body.aclose()
                if self._at_end is not None:
                    await self._at_end()
