"""Runs `smartstore` in processes that have imported everything already.

Most of the CPU time of a process that a test starts goes into imports and the Kiwi model. Here one process
loads them once and forks for each command; what it forks runs the command from its arguments on, with an
environment, a folder, files and signals of its own. That a process also starts from nothing is shown by
`web/test_serve_process.py`.

    python -m tests.api.warm SOCKET      the process that forks; it ends with the one that started it
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

# What a server imports, those parts included that it imports late.
MODULES = (
    "alembic.command",
    "alembic.runtime.environment",
    "api.app",
    "api.channels.mcp.server",
    "api.conversation.checks.grounding",
    "api.history.database",
    "api.services",
    "api.web.server",
    "retrieval.embedders.e5.small",
    "sqlalchemy.ext.asyncio",
    "uvloop",
    "yaml",
)
ROOT = Path(__file__).resolve().parent.parent.parent


class WarmProcess:
    """A `smartstore` command that runs: what tests use of a `subprocess.Popen`."""

    def __init__(self, arguments: list[str], env: dict[str, str], *, out: int, err: int) -> None:
        """`out` and `err` are descriptors of the files it writes to."""
        self._link = socket.socket(socket.AF_UNIX)
        self._link.connect(_forker())
        request = json.dumps({"arguments": arguments, "env": env}).encode()
        socket.send_fds(self._link, [len(request).to_bytes(4, "big")], [out, err])
        self._link.sendall(request)
        self.pid = _number(self._link)
        self.returncode: int | None = None

    def send_signal(self, number: int) -> None:
        """Sends a signal, unless it has ended."""
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Asks it to end."""
        self.send_signal(signal.SIGTERM)

    def wait(self, timeout: float) -> int:
        """The exit status, negative for a signal's number. Raises `TimeoutError` after `timeout` seconds."""
        if self.returncode is None:
            self._link.settimeout(timeout)
            self.returncode = _number(self._link)
            self._link.close()
        return self.returncode


def run(
    arguments: list[str], env: dict[str, str], *, timeout: float = 100
) -> subprocess.CompletedProcess[str]:
    """Runs a `smartstore` command to its end, as `subprocess.run` with `capture_output` does."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = WarmProcess(arguments, env, out=out.fileno(), err=err.fileno())
        try:
            code = process.wait(timeout)
        except TimeoutError:
            process.send_signal(signal.SIGKILL)
            raise
        for file in (out, err):
            file.seek(0)
        return subprocess.CompletedProcess(arguments, code, out.read(), err.read())


@cache
def _forker() -> str:
    """The socket of the process that forks, which is started for the first command."""
    folder = tempfile.mkdtemp(prefix="warm-")
    path = f"{folder}/socket"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.api.warm", path],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )

    def end() -> None:
        process.communicate()
        shutil.rmtree(folder)

    atexit.register(end)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return path


def _number(link: socket.socket) -> int:
    return int.from_bytes(_exactly(link, 4), "big", signed=True)


def _exactly(link: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = link.recv(size - len(data))
        if not part:
            raise ConnectionError("the process that forks is gone")
        data += part
    return data


def main(path: str) -> None:
    """Loads what commands need, then forks for each that is asked for, until standard input ends."""
    _load()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("ready", flush=True)
    while listener in select.select([listener, sys.stdin], [], [])[0]:
        link, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _carry_out(link)
        link.close()


def _load() -> None:
    from api.cli import mount
    from retrieval.tokenizer import KoreanTokenizer, _model

    mount()
    for name in MODULES:
        importlib.import_module(name)
    # Half of its time goes into the first sentence.
    KoreanTokenizer().tokens("정산")
    # One reference too many: at its end it would wait for threads that a fork does not have.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(_model()))
    gc.freeze()


def _carry_out(link: socket.socket) -> NoReturn:
    """Forks the command, tells its number and, once it has ended, its exit status."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    size, files, _, _ = socket.recv_fds(link, 4, 2)
    request = json.loads(_exactly(link, int.from_bytes(size, "big")))
    pid = os.fork()
    if pid == 0:
        link.close()
        _run(request, files)
    for file in files:
        os.close(file)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(OSError):
        link.sendall(pid.to_bytes(4, "big"))
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        link.sendall(code.to_bytes(4, "big", signed=True))
    os._exit(0)


def _run(request: dict[str, Any], files: list[int]) -> NoReturn:
    nothing = os.open(os.devnull, os.O_RDONLY)
    for target, file in enumerate((nothing, *files)):
        os.dup2(file, target)
        os.close(file)
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv = ["smartstore", *request["arguments"]]
    from api.cli import main as smartstore

    smartstore()
    sys.exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
