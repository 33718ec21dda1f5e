"""A real `smartstore serve` on the bundled sample, for tests that speak HTTP to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.api.warm import WarmProcess, run

ROOT = Path(__file__).resolve().parent.parent.parent
SMARTSTORE = [sys.executable, "-m", "api.cli"]


@dataclass
class Live:
    """A running server."""

    url: str
    process: WarmProcess
    data_dir: Path

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(60)


def environment(data_dir: Path, **settings: str) -> dict[str, str]:
    """The environment of a `smartstore` process with its own data folder."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("SMARTSTORE_")}
    return clean | {"SMARTSTORE_DATA_DIR": str(data_dir)} | settings


@contextmanager
def serve(data_dir: Path, *options: str, **settings: str) -> Iterator[Live]:
    """Runs a server on a free port until the context ends."""
    read, write = os.pipe()
    with (data_dir / "serve.log").open("a") as log, os.fdopen(read) as said:
        command = ["serve", "--port", "0", *options]
        process = WarmProcess(command, environment(data_dir, **settings), out=write, err=log.fileno())
        os.close(write)
        try:
            line = said.readline()
            assert "is ready" in line, (data_dir / "serve.log").read_text()[-3000:]
            yield Live(line.rsplit(" ", 1)[-1].strip(), process, data_dir)
        finally:
            process.terminate()
            process.wait(60)


def smartstore(data_dir: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Runs a `smartstore` command to its end."""
    return run(list(arguments), environment(data_dir, **settings))


@dataclass(frozen=True)
class Event:
    """One server-sent event."""

    number: int
    kind: str
    data: dict[str, Any]


def parse(text: str) -> list[Event]:
    """The events of a whole response body."""
    events = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if fields:
            events.append(Event(int(fields["id"]), fields["event"], json.loads(fields["data"])))
    return events


def ask(client: httpx.Client, question: str, **body: Any) -> list[Event]:
    """Asks and reads the whole stream."""
    headers = body.pop("headers", {})
    response = client.post("/chat", json={"question": question, **body}, headers=headers)
    assert response.status_code == 200, response.text
    return parse(response.text)


def wait_until(condition: Any, seconds: float = 60.0) -> Any:
    """Polls until `condition()` is truthy and returns it; the bound is there to end a hang."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s")
