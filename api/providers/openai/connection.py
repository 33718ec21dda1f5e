"""One HTTP/1.1 connection: a request out, its response's bytes as they arrive.

httptools (llhttp) parses, asyncio carries. Knows neither pools nor what the bytes mean.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal, cast

import httptools

_MOST_BUFFERED = 2**17
_LONGEST_HEAD = 2**17
Broken = Literal["closed", "silent", "unreadable"]


class Response:
    """Status and headers of a response, and its body as it arrives; a context manager that closes it.

    Closed before it is whole, it takes its connection with it: the server sees at once that nobody
    wants the rest.

    Attributes:
        status: the HTTP status.
        headers: in the server's order, names in lower case.
        whole: all of it was received.
    """

    def __init__(self, connection: Connection) -> None:
        self.status, self.whole = 0, False
        self.headers: list[tuple[bytes, bytes]] = []
        self._connection = connection
        self._chunks: list[bytes] = []
        self._buffered = 0
        self._broken: Broken | None = None
        self._waiting: asyncio.Future[None] | None = None

    def __enter__(self) -> Response:
        return self

    def __exit__(self, *_: object) -> None:
        if not self.whole:
            self._connection.close()

    def header(self, name: str) -> str:
        """A header's value, empty where it is missing."""
        wanted = name.lower().encode()
        return next((value.decode("latin-1") for each, value in self.headers if each == wanted), "")

    @property
    def content_type(self) -> str:
        """The media type without its parameters, in lower case."""
        return self.header("content-type").partition(";")[0].strip().lower()

    @property
    def read_whole(self) -> bool:
        """Nothing is left to read."""
        return self.whole and not self._chunks

    async def read(self) -> bytes:
        """What has arrived since the last call, at least a byte; empty at the end.

        Raises the connection's error where the response broke off.
        """
        while not self._chunks:
            if self.whole:
                return b""
            await self._more()
        chunk = b"".join(self._chunks)
        self._chunks.clear()
        if self._buffered > _MOST_BUFFERED:
            self._connection.resume()
        self._buffered = 0
        return chunk

    async def read_up_to(self, most: int) -> bytes:
        """The body's first bytes, until there are `most` of them or it ends. Raises as `read`."""
        body = bytearray()
        while len(body) < most and (chunk := await self.read()):
            body += chunk
        return bytes(body[:most])

    async def _more(self) -> None:
        if self._broken:
            raise self._connection.error(self._broken)
        self._waiting = asyncio.get_running_loop().create_future()
        try:
            await self._waiting
        finally:
            self._waiting = None

    # For the connection.

    async def begun(self) -> None:
        """Waits for status and headers. Raises as `read`."""
        while not self.status:
            await self._more()

    def receive(self, chunk: bytes) -> None:
        """Takes a piece of the body."""
        self._chunks.append(chunk)
        self._buffered += len(chunk)
        if self._buffered > _MOST_BUFFERED:
            self._connection.pause()

    def wake(self, broken: Broken | None = None) -> None:
        """Tells the reader that something is new, or that nothing more will come."""
        self._broken = broken
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


class Connection(asyncio.Protocol):
    """A connection that carries one request at a time.

    Attributes:
        error: makes the exception of a response that broke off.
        closed: it can carry nothing more.
        free_since: when (loop time) its last whole response ended; 0 before the first.
    """

    def __init__(self, *, error: Callable[[Broken], Exception], over: Callable[[Connection], None]) -> None:
        """`over` is called when a response is whole, given up or broken off."""
        self.error, self._tell_over = error, over
        self.closed, self.free_since = False, 0.0
        self._response: Response | None = None
        self._heard_at, self._idle_s = 0.0, 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._head = 0

    @property
    def heard(self) -> bool:
        """Something was received since the last request."""
        return self._head > 0

    async def ask(self, request: bytes, idle_s: float | None) -> Response:
        """Sends a request; returns when the response's headers are here.

        Args:
            request: head and body.
            idle_s: seconds of silence after which the response is given up; None waits for ever.

        Raises:
            Exception: what `error` makes, where there is no response.
        """
        response = self._response = Response(self)
        self._head = 0
        self._transport.write(request)
        if idle_s is not None:
            self._heard_at, self._idle_s = self._loop.time(), idle_s
            self._timer = self._loop.call_later(idle_s, self._listen)
        try:
            await response.begun()
        except BaseException:
            self.close()
            raise
        return response

    def close(self) -> None:
        """Hangs up at once."""
        self.closed = True
        self._over()
        self._transport.abort()

    def pause(self) -> None:
        """Takes nothing more from the server until `resume`."""
        if not self.closed:
            self._transport.pause_reading()

    def resume(self) -> None:
        """Goes on after `pause`."""
        if not self.closed:
            self._heard_at = self._loop.time()
            self._transport.resume_reading()

    def _over(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._response is not None:
            self._response = None
            self._tell_over(self)

    def _listen(self) -> None:
        """Gives up where nothing was heard for `idle_s`; looks again when that can next be so."""
        left = self._heard_at + self._idle_s - self._loop.time()
        if left > 0 or not self._transport.is_reading():
            self._timer = self._loop.call_later(max(left, 0.1), self._listen)
        else:
            self._break("silent")

    def _break(self, why: Broken) -> None:
        response = self._response
        self.close()
        if response is not None:
            response.wake(why)

    # What asyncio tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is open."""
        self._loop = asyncio.get_running_loop()
        self._transport = cast("asyncio.Transport", transport)
        self._parser = httptools.HttpResponseParser(self)

    def data_received(self, data: bytes) -> None:
        """Parses what came; the parser calls the `on_` methods below."""
        response = self._response
        if response is None:
            # Nobody asked.
            self.close()
            return
        if self._timer is not None:
            self._heard_at = self._loop.time()
        if not response.status:
            self._head += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._break("unreadable")
            return
        if not response.status and self._head > _LONGEST_HEAD:
            self._break("unreadable")
            return
        response.wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed: the end of a body that names no length, too soon for any other."""
        response, self.closed = self._response, True
        if response is not None:
            measured = response.header("content-length") or response.header("transfer-encoding")
            response.whole = exc is None and bool(response.status) and not measured
        self._over()
        if response is not None:
            response.wake(None if response.whole else "closed")

    # What httptools tells.

    def on_message_begin(self) -> None:
        """A response begins, maybe after an interim one."""
        if self._response is None:
            # More than was asked for: what comes next could not be told from the next answer.
            self.close()
        else:
            self._response.headers.clear()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer, which is dropped."""
        response = self._response
        if response is not None and not response.status:
            response.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Every header is here."""
        status = self._parser.get_status_code()
        if self._response is not None and status >= 200:
            self._response.status = status

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        if self._response is not None:
            self._response.receive(body)

    def on_message_complete(self) -> None:
        """The response is whole; the connection can carry another, where the server lets it."""
        response = self._response
        if response is None or not response.status:
            return
        response.whole = True
        self.free_since = self._loop.time()
        if not self._parser.should_keep_alive():
            self.closed = True
            self._transport.close()
        self._over()
