"""The least a gateway can do under ASGI: the request's body out, the response's bytes back.

No key, no validation, no counting, no routes. The product's server, and aiohttp towards the upstream.
"""

from __future__ import annotations

import os
from typing import Any

from aiohttp import ClientSession, ClientTimeout, TCPConnector

UPSTREAM = os.environ.get("BENCH_UPSTREAM", "")
_TIMEOUT = ClientTimeout(total=None)
_session: list[ClientSession] = []


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The whole pipe."""
    if scope["type"] != "http":
        return
    if not _session:
        _session.append(
            ClientSession(connector=TCPConnector(limit=0), auto_decompress=False, timeout=_TIMEOUT)
        )
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    url, headers = UPSTREAM + scope["path"], {"Content-Type": "application/json"}
    async with _session[0].post(url, data=body, headers=headers) as response:
        kind = response.headers["Content-Type"].encode()
        await send(
            {"type": "http.response.start", "status": response.status, "headers": [(b"content-type", kind)]}
        )
        while chunk := await response.content.readany():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
