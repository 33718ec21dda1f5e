"""Starts a vLLM server from its configuration, and keeps it up.

    python -m serving.launch configs/serving/qwen3-32b-lora.yaml [--dry-run | --container]

Checks first, waits until it is ready, forwards signals, restarts it with growing pauses when it dies; each
start loads the adapters that are in service then. `--dry-run` prints memory plan and command, says what of
this machine forbids the start, and starts nothing. Knows one process; talks to it through `/health` alone.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import yaml

from serving.errors import CannotServe, ServerFailed, ServingError
from serving.launch.command import Plan
from serving.launch.config import Config, load_config
from serving.launch.container import render
from serving.launch.preflight import faults, make_plan
from serving.vllm_api import Vllm

_POLL_S = 2.0
_MUTE_POLLS = 15  # health checks in a row without an answer, then it is restarted
_STABLE_S = 600.0  # after so long the failures before it are forgotten
_LONGEST_PAUSE_S = 60.0


class Supervisor:
    """Runs one server until it is told to stop."""

    def __init__(self, config: Config) -> None:
        host = "127.0.0.1" if config.server.host == "0.0.0.0" else config.server.host
        self._config, self._url = config, f"http://{host}:{config.server.port}"
        self._stop = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None

    def stop(self, number: int, frame: object = None) -> None:
        """Forwards a signal to the server; `run` ends with it."""
        self._stop.set()
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def run(self) -> int:
        """Starts, watches and restarts; returns 0 after `stop`.

        Raises:
            ServerFailed: it failed `server.restarts` times in a row after its first start.
        """
        failures = 0
        while True:
            began = time.monotonic()
            code = self._once()
            if self._stop.is_set():
                return 0
            failures = 1 if time.monotonic() - began > _STABLE_S else failures + 1
            if failures > self._config.server.restarts:
                raise ServerFailed(self._url, f"vLLM ended with {code}, {failures} times; its log says why")
            pause = min(_LONGEST_PAUSE_S, 2.0 ** (failures - 1))
            _say(f"vLLM ended with {code}; starting it again in {pause:g} s")
            if self._stop.wait(pause):
                return 0

    def _once(self) -> int:
        """One life of the server; returns its exit status."""
        made = make_plan(self._config)
        environment = os.environ | made.environment
        self._process = subprocess.Popen(made.arguments, env=environment, start_new_session=True)
        try:
            self._watch(self._process)
            return self._process.wait(self._config.server.stop_timeout_s)
        except subprocess.TimeoutExpired:
            _say("vLLM does not end by itself; killing it")
            return -signal.SIGKILL
        finally:
            _kill_group(self._process)

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        """Returns when the process has ended, or has to: told to stop, never ready, or mute."""
        began, ready, mute = time.monotonic(), False, 0
        with Vllm(self._url) as server:
            while process.poll() is None and not self._stop.wait(_POLL_S):
                if server.healthy():
                    if not ready:
                        _say(f"vLLM is ready: {self._url}/v1 after {time.monotonic() - began:.0f} s")
                    ready, mute = True, 0
                    continue
                mute += ready
                if mute >= _MUTE_POLLS or (
                    not ready and time.monotonic() - began > self._config.server.ready_timeout_s
                ):
                    _say(f"vLLM {'has stopped answering' if ready else 'is not ready in time'}; ending it")
                    process.terminate()
                    return


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Ends what the server leaves behind: its engine is a process of its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def show(config: Config, made: Plan) -> str:
    """The plan and the command, as a shell takes it."""
    name, *rest = made.arguments
    told = [f"{key}={'…' if key.endswith('KEY') else value}" for key, value in made.environment.items()]
    command = " \\\n    ".join([" ".join([*told, shlex.quote(name)]), *map(shlex.quote, rest)])
    return f"{config.model.path}\n{made.table()}\n\n{command}"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(argv: list[str] | None = None) -> int:
    """Runs the server that a configuration describes; 1 where it cannot be started or kept up."""
    parser = argparse.ArgumentParser(prog="python -m serving.launch", description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument(
        "--dry-run", action="store_true", help="print plan, command and faults; start nothing"
    )
    parser.add_argument(
        "--container", action="store_true", help="print image, command and environment of a container"
    )
    given = parser.parse_args(argv)
    try:
        config = load_config(given.config)
        if given.container:
            print(yaml.safe_dump(dict(render(config)), sort_keys=False, width=110), end="")
            return 0
        made = make_plan(config)
        found = faults(config, made)
        print(show(config, made), flush=True)
        if given.dry_run:
            print("\n" + ("\n".join(f"not here: {fault}" for fault in found) or "could be started here"))
            return 0
        if found:
            raise CannotServe("; ".join(found))
        supervisor = Supervisor(config)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, supervisor.stop)
        return supervisor.run()
    except ServingError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
