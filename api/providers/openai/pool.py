"""Pooled connections to one OpenAI-compatible server; bytes in, bytes out.

Shared by `OpenAICompatible` and the raw gateway. aiohttp carries: it connects to whichever address of a
server answers first (RFC 8305), and sends a request once. Translates what the network does into
`ProviderError`; knows no JSON, no prompts, and leaves every HTTP status to its caller.
"""

from __future__ import annotations

import re
import ssl
import urllib.request

import aiohttp
import structlog
from yarl import URL

from api.errors import ProviderError, ProviderTimeout
from api.observability.tracing import trace_headers

log = structlog.get_logger(__name__)
# A connection on which the server gives up just as a request is sent fails that request, since no POST
# is sent twice. uvicorn, and so vLLM, closes idle connections after five seconds.
_KEEPALIVE_S = 4.0
_LONGEST_HEADER = 2**16
_VERSION = re.compile(r"/v\d+$")


class Response:
    """Status and headers of a response, and its body as it arrives; a context manager that closes it.

    Closed before it is whole, it takes its connection with it: the server sees at once that nobody
    wants the rest.

    Attributes:
        status: the HTTP status.
        headers: in the server's order, names in lower case.
    """

    def __init__(self, response: aiohttp.ClientResponse, upstream: Upstream) -> None:
        self.status = response.status
        self.headers = [(name.lower(), value) for name, value in response.raw_headers]
        self._response, self._content, self._upstream = response, response.content, upstream

    def __enter__(self) -> Response:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._content.is_eof():
            self._response.close()

    def header(self, name: str) -> str:
        """A header's value, empty where it is missing."""
        return self._response.headers.get(name, "")

    @property
    def content_type(self) -> str:
        """The media type without its parameters, in lower case."""
        return self.header("content-type").partition(";")[0].strip().lower()

    @property
    def read_whole(self) -> bool:
        """Nothing is left to read."""
        return self._content.at_eof()

    async def read(self) -> bytes:
        """What has arrived since the last call, at least a byte; empty at the end.

        Raises:
            ProviderTimeout: the server was silent for too long.
            ProviderError: the response broke off.
        """
        try:
            return await self._content.readany()
        except (aiohttp.ClientError, OSError) as exc:
            raise self._upstream.error(exc) from exc

    async def read_up_to(self, most: int) -> bytes:
        """The body's first bytes, until there are `most` of them or it ends. Raises as `read`."""
        body = bytearray()
        while len(body) < most and (chunk := await self.read()):
            body += chunk
        return bytes(body[:most])


class Upstream:
    """One server's connection pool; an async context manager.

    Requests go through the proxy that `HTTPS_PROXY` or `HTTP_PROXY` names, unless `NO_PROXY` names
    the server.

    Attributes:
        address: the base URL, without a slash at its end.
        max_connections: how many requests it carries at the same time.

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
        self.name, self._connect_s, self.max_connections = name, connect_timeout_s, max_connections
        self.address = base_url.rstrip("/")
        self._base = URL(self.address)
        self._urls: dict[str, URL] = {}
        self._proxy = proxy_of(self._base)
        self._headers = {"Accept-Encoding": "identity"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"
        self._opened: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Upstream:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._opened is not None:
            await self._opened.close()

    async def send(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        idle_s: float | None = None,
        at_root: bool = False,
    ) -> Response:
        """Sends a request and returns when the response's headers are here, whatever its status.

        Read the body inside `with response`, which also closes it. Redirects are not followed: the
        key belongs to this server alone.

        Args:
            method: `GET` or `POST`.
            path: below the base URL, e.g. `/chat/completions`.
            body: JSON, sent as it is.
            idle_s: seconds of silence after which reading fails; None waits for ever.
            at_root: `path` is beside the version (`/v1`) instead of below it.

        Raises:
            ProviderTimeout: no connection, or nothing received, in time.
            ProviderError: the server cannot be reached, or hung up.
        """
        headers = trace_headers()
        if method == "POST":
            headers["Content-Type"] = "application/json"
        try:
            response = await self._session().request(
                method,
                self._url(path, at_root=at_root),
                data=body or None,
                headers=headers,
                proxy=self._proxy,
                timeout=aiohttp.ClientTimeout(total=None, connect=self._connect_s, sock_read=idle_s),
                allow_redirects=False,
            )
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            raise self.error(exc) from exc
        if response.status == 101:
            response.close()
            raise self.error(aiohttp.ClientPayloadError("the server changed the protocol"))
        return Response(response, self)

    def error(self, exc: Exception) -> ProviderError:
        """What went wrong, for the seller; the reason is in the log, for the operator."""
        if isinstance(exc, TimeoutError):
            sent = not isinstance(exc, aiohttp.ConnectionTimeoutError)
            return ProviderTimeout(self.name, f"'{self.name}' 서버가 제때 답하지 않았습니다.", sent=sent)
        unreached = isinstance(exc, aiohttp.ClientConnectorError | aiohttp.ClientHttpProxyError)
        log.warning(
            "provider_unreachable" if unreached else "provider_broke_off",
            provider=self.name,
            server=self.address,
            reason=reason_of(exc),
            error=str(exc),
        )
        if unreached:
            message = f"'{self.name}' 서버에 연결할 수 없습니다."
            return ProviderError(self.name, message, english="the server cannot be reached", sent=False)
        message = f"'{self.name}' 서버와의 연결이 끊겼습니다."
        return ProviderError(self.name, message, english="the server hung up")

    def _session(self) -> aiohttp.ClientSession:
        """The session, opened with the first request: it belongs to the running event loop."""
        if self._opened is None:
            # Of its own, since aiohttp's was made before an operator's SSL_CERT_FILE may have been set.
            tls = ssl.create_default_context() if self._base.scheme == "https" else True
            self._opened = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=self.max_connections, keepalive_timeout=_KEEPALIVE_S, ssl=tls
                ),
                headers=self._headers,
                skip_auto_headers=("User-Agent", "Content-Type"),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                max_line_size=_LONGEST_HEADER,
                max_field_size=_LONGEST_HEADER,
            )
        return self._opened

    def _url(self, path: str, *, at_root: bool = False) -> URL:
        if path not in self._urls:
            base = _VERSION.sub("", str(self._base)) if at_root else str(self._base)
            self._urls[path] = URL(f"{base}{path}")
        return self._urls[path]


def proxy_of(url: URL) -> URL | None:
    """The proxy that the environment names for a server, if any."""
    host = url.host or ""
    if urllib.request.proxy_bypass(f"{host}:{url.port}") or urllib.request.proxy_bypass(host):
        return None
    proxy = urllib.request.getproxies().get(url.scheme)
    return URL(proxy) if proxy else None


def reason_of(exc: Exception) -> str:
    """Why a connection failed, in a word that an operator can search the logs for."""
    match exc:
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError() | ssl.SSLError():
            return "certificate"
        case aiohttp.ClientConnectorDNSError():
            return "name"
        case aiohttp.ClientProxyConnectionError() | aiohttp.ClientHttpProxyError():
            return "proxy"
        case aiohttp.ClientConnectorError():
            return "refused"
        case aiohttp.ClientPayloadError() | aiohttp.ServerDisconnectedError():
            return "closed"
        case aiohttp.ClientResponseError():
            return "unreadable"
        case _:
            return type(exc).__name__
