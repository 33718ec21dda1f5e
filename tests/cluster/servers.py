"""Servers of our own for the drills: RabbitMQ, Redis, Milvus Lite; started, stopped, started again.

Each listens on a free port and keeps its data below one folder, so the machine's own servers
are left alone. Knows how to run them, nothing of our service.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

_RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"


def free_port() -> int:
    """A TCP port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(condition: Callable[[], object], what: str, *, timeout_s: float = 90.0) -> None:
    """Waits until `condition()` is true; raises `TimeoutError` with `what`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout_s:g} s")
        time.sleep(0.1)


class Server:
    """One server process on one port."""

    name = "server"

    def __init__(self, folder: Path) -> None:
        self.folder = folder / self.name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """What starts it."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """Variables that it needs besides ours."""
        return {}

    def start(self) -> None:
        """Starts it and waits until its port answers."""
        log = (self.folder / "out.log").open("ab")
        environment = os.environ | self.environment()
        self.process = subprocess.Popen(
            self.command(), env=environment, stdout=log, stderr=log, start_new_session=True
        )
        log.close()
        wait_until(self._listens, self.name)

    def stop(self) -> None:
        """Stops it with SIGTERM and waits for its end."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def _listens(self) -> bool:
        if self.process is None or self.process.poll() is not None:
            raise RuntimeError(f"{self.name} ended: {(self.folder / 'out.log').read_text()[-2000:]}")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class Redis(Server):
    """Redis with an append-only file."""

    name = "redis"

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        options = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--dir", str(self.folder)]
        return ["redis-server", "--port", str(self.port), *options]


class Milvus(Server):
    """Milvus Lite as a TCP server."""

    name = "milvus"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        lite = str(Path(sys.executable).parent / "milvus-lite")
        where = ["--host", "127.0.0.1", "--port", str(self.port)]
        return [lite, "server", "--data-dir", str(self.folder / "data"), *where]


class RabbitMQ(Server):
    """A RabbitMQ node beside the machine's own one."""

    name = "rabbitmq"

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    def command(self) -> list[str]:
        return [_RABBITMQ]

    def environment(self) -> dict[str, str]:
        config, plugins = self.folder / "rabbitmq.conf", self.folder / "enabled_plugins"
        config.write_text(f"listeners.tcp.default = {self.port}\ndisk_free_limit.absolute = 50MB\n")
        plugins.write_text("[].\n")
        return {
            "RABBITMQ_NODENAME": f"drill{self.port}@localhost",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(config),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
        }

    def stop(self) -> None:
        """Stops the whole process group: the start script does not pass SIGTERM on."""
        if self.process is None:
            return
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.process = None
        time.sleep(0.5)
