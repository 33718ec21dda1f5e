"""`smartstore serve`: the API and the page."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from api.settings import Settings


def serve(
    host: Annotated[str | None, typer.Option(help="address to listen on")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="port; 0 takes a free one")] = None,
    build: Annotated[
        bool, typer.Option("--build", help="build a missing or stale index, and answer from words meanwhile")
    ] = False,
) -> None:
    """Serve the API and the chat page until interrupted."""
    import uvloop

    from api.access.opening import check_listening
    from api.indexing.named import check_same_corpus
    from api.observability.logs import configure_logs
    from api.services import warn_of_missing_key
    from api.settings import load_settings

    settings = load_settings()
    host, port = host or settings.server.host, settings.server.port if port is None else port
    settings = settings.model_copy(update={"server": settings.server.model_copy(update={"host": host})})
    _writable(settings.path(settings.data_dir))
    check_listening(settings)
    configure_logs(settings.log)
    warn_of_missing_key(settings)
    if build:
        check_same_corpus(settings)
    listener = _listen(host, port)
    address = f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{listener.getsockname()[1]}"
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, listener, f"smartstore-chatbot is ready: {address}", first=build))


async def _serve(settings: Settings, listener: socket.socket, ready: str, *, first: bool) -> None:
    """Opens everything once, serves until a signal comes, closes everything in reverse."""
    from api.app import create_app
    from api.services import open_services
    from api.web.server import server_of

    async with open_services(settings, first=first) as services:
        server = server_of(create_app(services), services, ready=lambda: typer.echo(ready))
        await server.serve(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket, bound before the models load, so that a taken port is told at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named, as asyncio turns off Nagle's algorithm for what is TCP by name only.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as exc:
        listener.close()
        raise OSError(
            f"cannot listen on {host}:{port} ({exc.strerror}); "
            "choose another with --port or SMARTSTORE_SERVER__PORT"
        ) from exc
    return listener


def _writable(folder: object) -> None:
    """Creates the data folder and proves that it can be written."""
    import tempfile
    from pathlib import Path

    path = Path(str(folder))
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as exc:
        raise OSError(
            f"cannot write to the data folder {path} ({exc.strerror}); set SMARTSTORE_DATA_DIR"
        ) from exc
