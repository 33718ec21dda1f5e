"""`smartstore serve`: the API and the page."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import subprocess
import sys
import threading
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from api.settings import Settings

_BACKLOG = 2048
_LOOK_S = 1.0
# How long a thread that searches keeps the interpreter from the event loop. Python's own 5 ms give 62.8
# turns/s with 16 clients, 0.5 ms 65.5, 20 ms 53 (`make bench-faq`, twice each, in turns).
_SWITCH_S = 0.0005


def serve(
    host: Annotated[str | None, typer.Option(help="address to listen on")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="port; 0 takes a free one")] = None,
    build: Annotated[
        bool, typer.Option("--build", help="build a missing or stale index, and answer from words meanwhile")
    ] = False,
    workers: Annotated[
        int, typer.Option(min=1, help="processes that share port, state and index; each holds a snapshot")
    ] = 1,
    listener: Annotated[int, typer.Option(hidden=True, help="the port's socket, from who started it")] = -1,
) -> None:
    """Serve the API and the chat page until interrupted."""
    _import_unwatched()
    import uvloop

    from api.access.opening import check_listening
    from api.indexing.named import check_same_corpus
    from api.observability.logs import configure_logs
    from api.providers.factory import warn_of_missing_key
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
    accepting = _listen(host, port) if listener < 0 else socket.socket(fileno=listener)
    address = f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{accepting.getsockname()[1]}"
    if workers > 1:
        if build:
            raise typer.BadParameter("run `smartstore index build` first: one process builds at a time")
        raise typer.Exit(_serve_together(accepting, workers, host=host, address=address))
    sys.setswitchinterval(_SWITCH_S)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, accepting, f"smartstore-chatbot is ready: {address}", first=build))


def _import_unwatched() -> None:
    """Imports the application out of sight of the garbage collector.

    Its modules and classes are most of what a process holds, and stay. To look through them again and again
    while they come, at each full collection and at the end took a fourth of a start's and an end's CPU time.
    """
    gc.disable()
    import api.app
    import api.services

    if find_spec("mcp"):
        import api.channels.mcp.server  # noqa: F401
    gc.freeze()
    gc.enable()


async def _serve(settings: Settings, listener: socket.socket, ready: str, *, first: bool) -> None:
    """Opens everything once, serves until a signal comes, closes everything in reverse."""
    from api.app import create_app
    from api.services import open_services
    from api.web.server import server_of

    async with open_services(settings, first=first) as services:
        server = server_of(create_app(services), services, ready=lambda: typer.echo(ready))
        await server.serve(sockets=[listener])


def _serve_together(accepting: socket.socket, workers: int, *, host: str, address: str) -> int:
    """Runs processes that accept on one socket until a signal comes; one that dies is started again.

    They find each other in the state store, as servers of a cluster do. Returns the exit status.
    """
    fd, ending = accepting.fileno(), threading.Event()
    command = [sys.executable, "-m", "api.cli", "serve", "--host", host, "--listener", str(fd)]

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(command, pass_fds=[fd], stdout=subprocess.PIPE, text=True)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ending.set())
    accepting.listen(_BACKLOG)
    running = [start() for _ in range(workers)]
    # Each says so in a line when it takes requests, or ends with its fault on stderr.
    status = 0 if all(each.stdout and each.stdout.readline() for each in running) else 1
    if status == 0:
        typer.echo(f"smartstore-chatbot is ready: {address} ({workers} workers)")
    while status == 0 and not ending.wait(_LOOK_S):
        for n, each in enumerate(running):
            if each.poll() is not None:
                typer.echo(f"worker {each.pid} ended with {each.returncode}; starting another", err=True)
                running[n] = start()
    for each in running:
        each.send_signal(signal.SIGTERM)
    for each in running:
        each.wait()
    return status


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
