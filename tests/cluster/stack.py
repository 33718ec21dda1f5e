"""The service as a small cluster: APIs and workers as real processes around servers of our own."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.api.providers.upstream import Upstream, numbered, upstream_in_thread
from tests.cluster.servers import Milvus, RabbitMQ, Redis, free_port

ROOT = Path(__file__).resolve().parent.parent.parent
_INDEX = ROOT / "var" / "drills" / "faq.db"
LOGS = ROOT / "var" / "drills" / "logs"
SMARTSTORE = [sys.executable, "-m", "api.cli"]


class Node:
    """One `smartstore` process; ready when its first line says so."""

    def __init__(self, stack: Stack, name: str, *command: str) -> None:
        self.name, self._stack, self._command = name, stack, command
        self.port = 0
        self.process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Node:
        """Starts it without waiting."""
        command = list(self._command)
        if command[0] == "serve":
            self.port = self.port or free_port()
            command += ["--port", str(self.port)]
        with (LOGS / f"{self.name}.log").open("a") as log:
            self.process = subprocess.Popen(
                [*SMARTSTORE, *command], cwd=ROOT, env=self._stack.environment,
                stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        return self

    def wait_ready(self) -> None:
        """Waits until it takes work."""
        assert self.process is not None
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if "ready" not in line:
            raise RuntimeError(f"{self.name}: {(LOGS / f'{self.name}.log').read_text()[-2000:]}")

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal and waits for the process to end."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(60)
        if self.process is not None and self.process.stdout is not None:
            self.process.stdout.close()
        self.process = None

    def rss_mb(self) -> float:
        """Its resident memory in MB."""
        assert self.process is not None
        return rss_mb(self.process.pid)


@dataclass
class Stack:
    """The running cluster."""

    folder: Path
    upstream: Upstream
    redis: Redis
    rabbit: RabbitMQ | None
    milvus: Milvus | None
    environment: dict[str, str] = field(default_factory=dict)
    apis: list[Node] = field(default_factory=list)
    workers: list[Node] = field(default_factory=list)

    def smartstore(self, *command: str) -> str:
        """Runs a `smartstore` command to its end and returns what it printed."""
        done = subprocess.run(
            [*SMARTSTORE, *command], cwd=ROOT, env=self.environment, capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
        return done.stdout

    async def command(self, *command: str) -> str:
        """The same without blocking the clients."""
        return await asyncio.to_thread(self.smartstore, *command)


@contextmanager
def stack(
    *, apis: int = 2, workers: int = 2, milvus: bool = False, settings: dict[str, Any] | None = None
) -> Iterator[Stack]:
    """Starts everything, builds the index of the bundled sample, and ends it all afterwards.

    Args:
        apis: API processes.
        workers: worker processes; 0 runs turns inline.
        milvus: the index lives on a Milvus server, of which each process holds a snapshot.
        settings: sections merged into the drills' settings.
    """
    with ExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="drill-")))
        upstream = closing.enter_context(upstream_in_thread(piece_s=0.25, pieces=numbered()))
        LOGS.mkdir(parents=True, exist_ok=True)
        for old in LOGS.glob("*.log"):
            old.write_text("")
        redis, rabbit = Redis(folder), RabbitMQ(folder) if workers else None
        lite = Milvus(folder) if milvus else None
        _build_index()
        if lite is not None:
            shutil.copytree(_INDEX, lite.folder / "data")
        for server in (redis, rabbit, lite):
            if server is not None:
                closing.callback(server.stop)
                server.start()
        built = Stack(folder, upstream, redis, rabbit, lite)
        config = folder / "app.yaml"
        config.write_text(json.dumps(_settings(built, settings or {})))
        built.environment = _environment(SMARTSTORE_CONFIG=str(config))
        built.apis = [Node(built, f"api{n}", "serve") for n in range(1, apis + 1)]
        built.workers = [Node(built, f"worker{n}", "worker") for n in range(1, workers + 1)]
        nodes = [*built.apis, *built.workers]
        closing.callback(lambda: [node.signal(signal.SIGKILL) for node in nodes])
        for node in nodes:
            node.start()
        for node in nodes:
            node.wait_ready()
        yield built


def _environment(**settings: str) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("SMARTSTORE_")}
    return clean | {"OMP_NUM_THREADS": "1"} | settings


def _build_index() -> None:
    """Builds the sample's index once for all drills; every Milvus server gets a copy of it."""
    environment = _environment(SMARTSTORE_INDEX__URI=str(_INDEX))
    subprocess.run([*SMARTSTORE, "index", "build"], cwd=ROOT, env=environment, check=True)


def rss_mb(pid: int) -> float:
    """Resident memory of a process in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _settings(built: Stack, extra: dict[str, Any]) -> dict[str, Any]:
    slow = {
        "base_url": built.upstream.url(), "model": "small-model", "third_party": False,
        "first_token_timeout_s": 10, "between_tokens_timeout_s": 5,
    }  # fmt: skip
    whole: dict[str, Any] = {
        "data_dir": str(built.folder / "data"),
        "state": {"url": built.redis.url, "answer_ttl_s": 0},
        "index": {"uri": str(_INDEX), "refresh_s": 1},
        "providers": {"default": "slow", "fallback": ["extractive"], "endpoints": {"slow": slow}},
        "log": {"level": "warning"},
    }
    if built.milvus is not None:
        whole["index"] |= {"uri": built.milvus.url}
    if built.rabbit is not None:
        whole |= {"turns": {"runner": "queued"}, "queue": {"url": built.rabbit.url, "concurrency": 16}}
    for section, values in extra.items():
        whole[section] = whole.get(section, {}) | values
    return whole
