"""The HTTP server: uvicorn with a time for requests to arrive in, and an end that its readers hear of.

Knows connections and signals; of the application only the services that the lifespan has opened.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.services import Services
from api.turns.runners.inline import INTERRUPT_S

log = structlog.get_logger(__name__)
# Whoever reads slowly gets so long to fetch the last event before connections are cut.
_LAST_EVENT_S = 2.0
_CLOSE_S = 3
_LATE = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


def longest_end_s(drain_s: float) -> float:
    """Seconds from SIGTERM to the last connection's end at worst; closing the services comes on top."""
    return drain_s + INTERRUPT_S + 2 * _LAST_EVENT_S + _CLOSE_S


def server_of(app: ASGIApp, services: Services, *, ready: Callable[[], None]) -> Server:
    """The server of `app` around open `services`; `ready` is called when it takes requests."""
    settings = services.settings
    config = uvicorn.Config(
        app,
        http=_protocol(settings.server.request_timeout_s),
        log_config=None,
        access_log=False,
        server_header=False,
        # The last address in X-Forwarded-For that is none of these is who asks; nobody else's word counts.
        forwarded_allow_ips=list(settings.server.trusted_proxies),
        ws_max_size=settings.server.max_body_bytes + 1024,
        timeout_graceful_shutdown=_CLOSE_S,
    )
    return Server(config, services, ready=ready)


class Server(uvicorn.Server):
    """Ends in order: no new work, running turns to their end, a last event for every reader, then out.

    Ports stay open meanwhile, so that who asks is told to come again instead of being refused a connection.
    """

    def __init__(self, config: uvicorn.Config, services: Services, *, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._services, self._ready = services, ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begins to take requests."""
        await super().startup(sockets)
        if self.started:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drains, then closes."""
        if not self.force_exit:
            await self._drain()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Ends at SIGINT and SIGTERM."""
        # uvicorn raises the signal again at its end, which would kill what is still being closed.
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self.handle_exit, number, None)
        yield

    async def _drain(self) -> None:
        drain_s = self._services.settings.turns.drain_s
        started = asyncio.get_running_loop().time()
        readers = self._services.readers
        readers.closing = True
        await self._services.runner.drain(drain_s)
        # What runs elsewhere (a worker's turns, raw completions) has the same time in all.
        left_s = drain_s - (asyncio.get_running_loop().time() - started)
        await readers.gone(max(left_s, _LAST_EVENT_S))
        readers.dismiss_all()
        await readers.gone(_LAST_EVENT_S, idle=True)
        log.info("server.drained", seconds=round(asyncio.get_running_loop().time() - started, 2))


def _protocol(timeout_s: float) -> type[HttpToolsProtocol]:
    """The HTTP protocol, with `timeout_s` for the head of a request and for each pause in its body."""

    class Timed(HttpToolsProtocol):
        _late: asyncio.TimerHandle | None = None

        def _expect(self) -> None:
            self._heard()
            self._late = self.loop.call_later(timeout_s, self._give_up)

        def _heard(self) -> None:
            if self._late is not None:
                self._late.cancel()
                self._late = None

        def _give_up(self) -> None:
            if self.flow.read_paused:
                # It is this side that does not read.
                self._expect()
                return
            if self.cycle is None or self.cycle.response_complete:
                self.transport.write(_LATE)
            self.transport.close()

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._expect()

        def connection_lost(self, exc: Exception | None) -> None:
            self._heard()
            super().connection_lost(exc)

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._expect()

        def on_headers_complete(self) -> None:
            super().on_headers_complete()
            self._expect()

        def on_body(self, body: bytes) -> None:
            super().on_body(body)
            self._expect()

        def on_message_complete(self) -> None:
            super().on_message_complete()
            self._heard()

        def handle_websocket_upgrade(self) -> None:
            self._heard()
            super().handle_websocket_upgrade()

    return Timed
