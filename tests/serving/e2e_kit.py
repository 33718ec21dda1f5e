"""Processes and files of the end-to-end run: configurations, training, servers, commands."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent


class Broken(Exception):
    """A step did not do what it must; the message says what."""


def need(condition: object, what: str) -> None:
    """Fails the run where `condition` is false."""
    if not condition:
        raise Broken(what)


@dataclass(frozen=True)
class Workshop:
    """Where everything of one run lies, and with which interpreters it runs."""

    folder: Path
    finetune: str
    vllm: str

    @property
    def registry(self) -> Path:
        """The adapters in this run."""
        return self.folder / "adapters"

    def environment(self, **settings: str) -> dict[str, str]:
        """Without settings of the caller, on one thread a library."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith("SMARTSTORE_")}
        clean |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", "HF_HUB_OFFLINE": "1"}
        told = {
            "SMARTSTORE_DATA_DIR": str(self.folder / "var"),
            "SMARTSTORE_CONFIG": str(self.folder / "app.yaml"),
        }
        return clean | told | settings

    def run(self, *command: str, fails: bool = False) -> str:
        """Runs a command to its end; returns what it printed. It must fail where `fails` is true."""
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment(), capture_output=True, text=True, timeout=900
        )
        said = done.stdout + done.stderr
        need(
            (done.returncode != 0) == fails,
            f"{' '.join(command)}: exit status {done.returncode}\n{said[-3000:]}",
        )
        need("Traceback" not in said, f"{' '.join(command)}: a traceback\n{said[-3000:]}")
        return said

    def train(self, name: str, *, base: str, steps: int, seed: int, registry: str = "adapters") -> str:
        """Trains an adapter with `finetune.train`; returns its name."""
        config = self.folder / f"{name}.yaml"
        raw = yaml.safe_load((ROOT / "configs/finetune/tiny-cpu.yaml").read_text(encoding="utf-8"))
        raw |= {"name": name, "runs": str(self.folder / "runs"), "adapters": str(self.folder / registry)}
        raw["data"] |= {"folder": str(self.folder / "data"), "avoid": None}
        raw["model"]["base"] = str(self.folder / base)
        raw["training"] |= {"max_steps": steps, "seed": seed, "log_steps": 20}
        config.write_text(yaml.safe_dump(raw, allow_unicode=True), encoding="utf-8")
        if not (self.folder / "data").is_dir():
            self.run(self.finetune, "-m", "finetune.dataset", "--config", str(config))
        said = self.run(self.finetune, "-m", "finetune.train", "--config", str(config))
        return Path(said.split("adapter: ")[-1].strip().splitlines()[0]).name

    def smartstore(self, *command: str, fails: bool = False) -> str:
        """Runs the `smartstore` command."""
        return self.run(sys.executable, "-m", "api.cli", *command, fails=fails)


@contextmanager
def process(shop: Workshop, log: str, *command: str) -> Iterator[subprocess.Popen[str]]:
    """Runs a server; ends it with SIGTERM, which it must obey within 90 seconds."""
    with (shop.folder / log).open("w") as out:
        running = subprocess.Popen(
            command, cwd=ROOT, env=shop.environment(), stdout=out, stderr=subprocess.STDOUT, text=True
        )
        try:
            yield running
        finally:
            running.send_signal(signal.SIGTERM)
            try:
                code = running.wait(90)
            except subprocess.TimeoutExpired:
                running.kill()
                raise
        need(code in (0, -signal.SIGTERM), f"{command}: ended with {code}, see {shop.folder / log}")


def wait_for(
    running: subprocess.Popen[str], log: Path, ready: Callable[[], bool], *, seconds: float
) -> float:
    """Waits until `ready()`; returns how many seconds it took."""
    began = time.monotonic()
    while not ready():
        need(running.poll() is None, f"ended at once:\n{log.read_text()[-3000:]}")
        need(time.monotonic() - began < seconds, f"not ready in {seconds:g} s:\n{log.read_text()[-3000:]}")
        time.sleep(0.5)
    return time.monotonic() - began


def free_port() -> int:
    """A TCP port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def ask(url: str, question: str, provider: str = "vllm") -> dict[str, Any]:
    """One turn through `POST /chat`: the data of its events by name, deltas joined under `text`."""
    body = {"question": question, "provider": provider}
    response = httpx.post(f"{url}/chat", json=body, timeout=120, trust_env=False)
    need(response.status_code == 200, f"POST /chat: {response.status_code} {response.text[:500]}")
    events: dict[str, Any] = {"text": ""}
    for block in response.text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line and line[0] != ":")
        if "event" in fields:
            data = json.loads(fields["data"])
            events[fields["event"]] = data
            events["text"] += data.get("text", "") if fields["event"] == "delta" else ""
    need("turn.completed" in events, f"the turn did not complete: {events}")
    return events
