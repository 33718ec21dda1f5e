"""Pooled connections to one OpenAI-compatible server; bytes in, bytes out.

Shared by `OpenAICompatible` and the raw gateway. Translates what the network does into
`ProviderError`; knows no JSON, no prompts, and leaves every HTTP status to its caller.

Our own, because a client library's layers were half of what a raw completion cost here: see
docs/performance.md. It speaks as much HTTP as this takes: one POST or GET after another.
"""

from __future__ import annotations

import asyncio
import ssl
from urllib.parse import quote, urlsplit

from api.errors import ProviderError, ProviderTimeout
from api.observability.tracing import trace_headers
from api.providers.openai.connection import Broken, Connection, Response

_KEEPALIVE_S = 60.0


class Upstream:
    """One server's connection pool; an async context manager.

    Args:
        name: the provider's name, for error messages.
        base_url: with the version, e.g. `https://api.openai.com/v1`.
        api_key: sent as a bearer token; empty sends none.
        max_connections: more requests wait for a free one.
        connect_timeout_s: seconds to get a connection, from the pool or anew.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        *,
        api_key: str = "",
        max_connections: int = 100,
        connect_timeout_s: float = 5.0,
    ) -> None:
        url = urlsplit(base_url.rstrip("/"))
        self.name, self._connect_s = name, connect_timeout_s
        self._tls = ssl.create_default_context() if url.scheme == "https" else None
        self._host, self._port = url.hostname or "", url.port or (443 if self._tls else 80)
        self._path = quote(url.path, safe="/%:@!$&'()*+,;=~")
        host = url.netloc.rpartition("@")[2].encode("idna").decode()
        headers = f"Host: {host}\r\nAccept: */*\r\nAccept-Encoding: identity\r\n"
        self._headers = headers + (f"Authorization: Bearer {api_key}\r\n" if api_key else "")
        self._slots = asyncio.Semaphore(max_connections)
        self._free: list[Connection] = []
        self._busy: set[Connection] = set()
        self._pruning: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Upstream:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._pruning is not None:
            self._pruning.cancel()
        for connection in list(self._busy):
            connection.close()
        self._close_free()

    async def send(
        self, method: str, path: str, *, body: bytes = b"", idle_s: float | None = None
    ) -> Response:
        """Sends a request and returns when the response's headers are here, whatever its status.

        Read the body inside `with response`, which also closes it. Redirects are not followed: the
        key belongs to this server alone.

        Args:
            method: `GET` or `POST`.
            path: below the base URL, e.g. `/chat/completions`.
            body: JSON, sent as it is.
            idle_s: seconds of silence after which reading fails; None waits for ever.

        Raises:
            ProviderTimeout: no connection, or nothing received, in time.
            ProviderError: the server cannot be reached, or hung up.
        """
        head = f"{method} {self._path}{path} HTTP/1.1\r\n{self._headers}"
        if method == "POST":
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in trace_headers().items())
        request = f"{head}\r\n".encode() + body
        while True:
            connection = await self._connection()
            fresh = not connection.free_since
            try:
                return await connection.ask(request, idle_s)
            except ProviderTimeout:
                raise
            except ProviderError:
                if fresh or connection.heard:
                    raise
                # The server closed it while it lay idle, as it will have the others: once more, on a new one.
                self._close_free()

    async def _connection(self) -> Connection:
        """A connection for one request, which has a slot until it is over."""
        if not self._slots.locked() and (connection := self._kept()):
            await self._slots.acquire()
        else:
            connection = await self._wait_for_one()
        self._busy.add(connection)
        return connection

    async def _wait_for_one(self) -> Connection:
        try:
            async with asyncio.timeout(self._connect_s):
                await self._slots.acquire()
                try:
                    return self._kept() or await self._connect()
                except BaseException:
                    self._slots.release()
                    raise
        except TimeoutError as exc:
            raise self._error("silent") from exc
        except OSError as exc:
            raise ProviderError(self.name, f"'{self.name}' 서버에 연결할 수 없습니다.") from exc

    async def _connect(self) -> Connection:
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(error=self._error, over=self._over), self._host, self._port, ssl=self._tls
        )
        return connection

    def _kept(self) -> Connection | None:
        """The connection that was used last, if one is free and open."""
        while self._free:
            connection = self._free.pop()
            if not connection.closed:
                return connection
        return None

    def _close_free(self) -> None:
        while self._free:
            self._free.pop().close()

    def _over(self, connection: Connection) -> None:
        """Takes back a connection whose request is over."""
        self._busy.discard(connection)
        self._slots.release()
        if not connection.closed:
            self._free.append(connection)
            if self._pruning is None:
                self._pruning = asyncio.get_running_loop().call_later(_KEEPALIVE_S, self._prune)

    def _prune(self) -> None:
        """Closes what has been free for too long; looks again while anything is."""
        loop, self._pruning = asyncio.get_running_loop(), None
        for connection in self._free:
            if loop.time() - connection.free_since >= _KEEPALIVE_S:
                connection.close()
        self._free = [connection for connection in self._free if not connection.closed]
        if self._free:
            self._pruning = loop.call_later(_KEEPALIVE_S, self._prune)

    def _error(self, why: Broken) -> ProviderError:
        if why == "silent":
            return ProviderTimeout(self.name, f"'{self.name}' 서버가 제때 답하지 않았습니다.")
        return ProviderError(self.name, f"'{self.name}' 서버와의 연결이 끊겼습니다.")
