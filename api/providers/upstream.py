"""Pooled connections to one OpenAI-compatible server; bytes in, bytes out.

Shared by `OpenAICompatible` and the raw gateway. Translates what the network does into
`ProviderError`; knows no JSON, no prompts, and leaves every HTTP status to its caller.

aiohttp, because its C parser hands over the received bytes as they are: see docs/performance.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType

from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    ServerDisconnectedError,
    StreamReader,
    TCPConnector,
)
from yarl import URL

from api.errors import ProviderError, ProviderTimeout

_KEEPALIVE_S = 60.0
_READ_BUFFER = 2**16


class Upstream:
    """One server's connection pool; an async context manager.

    A response that is not read to its end takes its connection with it when closed, so the
    server sees at once that nobody wants the rest.

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
        self.name, self._base = name, base_url.rstrip("/")
        self._max, self._connect_s = max_connections, connect_timeout_s
        self._headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"
        self._urls: dict[str, URL] = {}
        self._timeouts: dict[float | None, ClientTimeout] = {}
        self._translated = _Translated(name)
        self._session: ClientSession | None = None

    async def __aenter__(self) -> Upstream:
        self._session = ClientSession(
            connector=TCPConnector(limit=self._max, keepalive_timeout=_KEEPALIVE_S),
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,
            read_bufsize=_READ_BUFFER,
            headers=self._headers,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        idle_s: float | None = None,
    ) -> ClientResponse:
        """Sends a request and returns when the response's headers are here, whatever its status.

        Read the body inside `reading(response)`, which also closes it. Redirects are not followed:
        the key belongs to this server alone.

        Args:
            method: the HTTP method.
            path: below the base URL, e.g. `/chat/completions`.
            body: sent as it is.
            headers: added to, or put in place of, the standing ones.
            idle_s: seconds of silence on the socket after which reading fails; None waits for ever.

        Raises:
            ProviderTimeout: no connection, or nothing received, in time.
            ProviderError: the server cannot be reached, or hung up.
        """
        with self._translated:
            try:
                return await self._request(method, path, body, headers, idle_s)
            except ServerDisconnectedError:
                # A connection that the server closed while it lay idle: once more, on another.
                return await self._request(method, path, body, headers, idle_s)

    @contextmanager
    def reading(self, response: ClientResponse) -> Iterator[StreamReader]:
        """The response's body; leaving early hangs up on the server at once.

        Raises:
            ProviderTimeout: silence for longer than `idle_s`.
            ProviderError: the body ended too soon.
        """
        try:
            with self._translated:
                yield response.content
        finally:
            response.close()

    async def _request(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str] | None,
        idle_s: float | None,
    ) -> ClientResponse:
        if self._session is None:
            raise RuntimeError(f"upstream {self.name!r} is not open")
        url = self._urls.get(path)
        if url is None:
            url = self._urls[path] = URL(self._base + path)
        timeout = self._timeouts.get(idle_s)
        if timeout is None:
            timeout = self._timeouts[idle_s] = ClientTimeout(connect=self._connect_s, sock_read=idle_s)
        return await self._session.request(
            method, url, data=body, headers=headers, timeout=timeout, allow_redirects=False
        )


class _Translated:
    """Raises what the network does as `ProviderError`; a class, since each request enters it twice."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not isinstance(exc, ClientError):
            return
        if isinstance(exc, ClientConnectorError):
            raise ProviderError(self._name, f"'{self._name}' 서버에 연결할 수 없습니다.") from exc
        if isinstance(exc, TimeoutError):
            raise ProviderTimeout(self._name, f"'{self._name}' 서버가 제때 답하지 않았습니다.") from exc
        raise ProviderError(self._name, f"'{self._name}' 서버와의 연결이 끊겼습니다.") from exc
