"""`make bench-gateway`: what a gateway costs, against none, the least one, and LiteLLM's proxy.

One mock upstream, every gateway on core 0 alone, mock and load on the others; the targets take
turns in one run, so that a busy moment of the machine meets them all.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import httpx
import uvloop

from tests.bench.load import Result, load, once, request_bytes
from tests.bench.report import conditions, table, write_section

ROOT = Path(__file__).resolve().parent.parent.parent
QUESTION = "스마트스토어에서 배송비를 지역별로 다르게 받으려면 어떻게 설정해야 하나요?"
TARGETS = ("direct", "byte pipe", "smartstore", "LiteLLM")
CASES = (("json", 1), ("json", 16), ("stream", 1), ("stream", 16), ("paced", 16))
STREAMS = ("stream", "paced")
CHUNKS = 32


@dataclass
class Target:
    """Something to ask; `models` by kind of answer."""

    port: int
    pids: list[int]
    key: str
    models: dict[str, str]
    path: str = "/v1/chat/completions"

    def request(self, kind: str) -> bytes:
        """The request for a kind of answer: json, stream, or paced."""
        fields = {
            "model": self.models[kind],
            "messages": [{"role": "user", "content": QUESTION}],
            "temperature": 0.2,
            "stream": kind != "json",
        }
        path = "/paced" + self.path if self.models[kind] == "/paced" else self.path
        fields["model"] = "bench" if self.models[kind].startswith("/") else fields["model"]
        body = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
        return request_bytes(self.port, path, body, self.key)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def process(command: list[str], *, core: str, env: dict[str, str], log: Path) -> Iterator[int]:
    """A process on the given cores until the context ends."""
    with log.open("w") as out:
        child = subprocess.Popen(
            ["taskset", "-c", core, *command], cwd=ROOT, env=os.environ | env, stdout=out, stderr=out
        )
    try:
        yield child.pid
    finally:
        child.terminate()
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()


def wait_for(url: str, log: Path, pid: int, *, seconds: float = 120) -> None:
    """Waits until a GET is answered with 200."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and os.waitpid(pid, os.WNOHANG) == (0, 0):
        try:
            if httpx.get(url, timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
    raise SystemExit(f"nothing answers at {url}:\n{log.read_text()[-3000:]}")


def start_product(stack: ExitStack, folder: Path, upstream: str, core: str) -> Target:
    """`smartstore serve` with keys required and a key that has a limit, so that both are checked."""
    names = {"bench": f"{upstream}/v1", "benchpaced": f"{upstream}/paced/v1"}
    env = {"SMARTSTORE_DATA_DIR": str(folder), "SMARTSTORE_AUTH__REQUIRED": "true", "OMP_NUM_THREADS": "1"}
    for name, url in names.items():
        prefix = f"SMARTSTORE_PROVIDERS__ENDPOINTS__{name.upper()}__"
        env |= {f"{prefix}BASE_URL": url, f"{prefix}MODEL": "bench", f"{prefix}THIRD_PARTY": "false"}
    smartstore = [sys.executable, "-m", "api.cli"]
    run = {"cwd": ROOT, "env": os.environ | env, "check": True, "capture_output": True, "text": True}
    subprocess.run([*smartstore, "index", "build"], **run)  # type: ignore[call-overload]
    create = [*smartstore, "keys", "create", "bench", "--scopes", "chat,raw", "--per-minute", "10000000"]
    made = subprocess.run(create, **run)  # type: ignore[call-overload]
    key, port, log = made.stdout.strip(), free_port(), folder / "smartstore.log"
    pid = stack.enter_context(
        process([*smartstore, "serve", "--port", str(port)], core=core, env=env, log=log)
    )
    wait_for(f"http://127.0.0.1:{port}/health", log, pid)
    models = {"json": "bench/bench", "stream": "bench/bench", "paced": "benchpaced/bench"}
    return Target(port, [pid], key, models)


def start_litellm(stack: ExitStack, folder: Path, upstream: str, core: str, venv: Path) -> Target:
    """LiteLLM's proxy as its documentation starts it: one worker, a master key, no database."""
    port, key, log = free_port(), f"sk-{secrets.token_hex(16)}", folder / "litellm.log"
    entry = '  - {{model_name: {}, litellm_params: {{model: openai/bench, api_base: "{}", api_key: none}}}}\n'
    config = folder / "litellm.yaml"
    config.write_text(
        "model_list:\n"
        + entry.format("bench", f"{upstream}/v1")
        + entry.format("benchpaced", f"{upstream}/paced/v1")
        + f"general_settings: {{master_key: {key}}}\nlitellm_settings: {{telemetry: false}}\n"
    )
    env = {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_LOG": "ERROR",
        "LITELLM_MODE": "PRODUCTION",
        "PATH": f"{venv / 'bin'}:{os.environ['PATH']}",
    }
    command = [str(venv / "bin" / "litellm"), "--config", str(config), "--port", str(port)]
    command += ["--host", "127.0.0.1", "--num_workers", "1"]
    pid = stack.enter_context(process(command, core=core, env=env, log=log))
    wait_for(f"http://127.0.0.1:{port}/health/liveliness", log, pid)
    return Target(port, [pid], key, {"json": "bench", "stream": "bench", "paced": "benchpaced"})


def start_all(stack: ExitStack, folder: Path, litellm: Path) -> dict[str, Target]:
    """Every target, warm."""
    others = f"1-{(os.cpu_count() or 2) - 1}"
    os.sched_setaffinity(0, set(range(1, os.cpu_count() or 2)))
    port = free_port()
    upstream, log = f"http://127.0.0.1:{port}", folder / "mock.log"
    mock = [sys.executable, "-m", "tests.bench.mock_upstream", str(port)]
    stack.enter_context(process(mock, core=others, env={}, log=log))
    pipe_port = free_port()
    pipe = [sys.executable, "-m", "uvicorn", "tests.bench.byte_pipe:app", "--port", str(pipe_port)]
    pipe += ["--no-access-log", "--lifespan", "off", "--loop", "uvloop", "--http", "httptools"]
    pipe_pid = stack.enter_context(
        process(pipe, core="0", env={"BENCH_UPSTREAM": upstream}, log=folder / "pipe.log")
    )
    plain = {"json": "/", "stream": "/", "paced": "/paced"}
    targets = {
        "direct": Target(port, [], "", plain),
        "byte pipe": Target(pipe_port, [pipe_pid], "", plain),
        "smartstore": start_product(stack, folder, upstream, "0"),
        "LiteLLM": start_litellm(stack, folder, upstream, "0", litellm),
    }
    return targets


async def check(targets: dict[str, Target]) -> None:
    """Every target really answers, and what promises the upstream's bytes gives them."""
    for kind in ("json", "stream"):
        bodies = {}
        for name, target in targets.items():
            for _ in range(3):
                head, _, body = (await once(target.port, target.request(kind))).partition(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"{name}: {head.decode()} {body[:500]!r}")
            bodies[name] = _plain(head, body)
        if bodies["smartstore"] != bodies["direct"]:
            raise SystemExit(f"smartstore changed the {kind} answer")


def _plain(head: bytes, body: bytes) -> bytes:
    """A body without its chunked framing."""
    if b"transfer-encoding: chunked" not in head.lower():
        return body
    plain = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        plain, body = plain + body[:length], body[length + 2 :]
    return plain


Runs = dict[tuple[str, str, int], list[Result]]


async def measure(targets: dict[str, Target], *, rounds: int, seconds: float) -> Runs:
    """Rounds over every case, the targets in another order each time."""
    await check(targets)
    runs: Runs = {}
    for number in range(rounds):
        for kind, clients in CASES:
            for name in random.sample(TARGETS, len(TARGETS)):
                target = targets[name]
                result = await load(
                    target.port, target.request(kind), clients=clients, seconds=seconds, pids=target.pids
                )
                runs.setdefault((name, kind, clients), []).append(result)
                rps = result.requests / result.seconds
                print(
                    f"round {number + 1} {kind:6} x{clients:<2} {name:10} {rps:8.0f} requests/s", flush=True
                )
    return runs


@dataclass(frozen=True)
class Figures:
    """Medians over the rounds; `cpu_us` per request."""

    rps: float
    p50_ms: float
    cpu_us: float


def figures(results: list[Result]) -> Figures:
    """The medians of some rounds."""
    return Figures(
        median(r.requests / r.seconds for r in results),
        median(median(r.latencies_ms) for r in results),
        median(r.cpu_s / r.requests * 1e6 for r in results),
    )


def report(runs: Runs) -> str:
    """The section of docs/performance.md."""
    found = {case: figures(results) for case, results in runs.items()}
    rows, ratios = [], []
    for kind, clients in CASES:
        direct, pipe, ours, theirs = (found[name, kind, clients] for name in TARGETS)
        for name in TARGETS:
            each = found[name, kind, clients]
            added, cpu = f"{each.p50_ms - direct.p50_ms:.2f}", f"{each.cpu_us:,.0f}"
            rows.append(
                (f"{kind}, {clients} client{'s' * (clients > 1)}", name, f"{each.rps:,.0f}",
                 f"{each.p50_ms:.2f}", *(("-", "-") if name == "direct" else (added, cpu)))
            )  # fmt: skip
        if kind != "paced":
            added = ours.p50_ms - direct.p50_ms
            share = f"1/{(theirs.p50_ms - direct.p50_ms) / added:.1f}" if added > 0 else "nothing added"
            ratios.append(
                (f"{kind}, {clients}", f"{ours.rps / theirs.rps:.1f}x", share,
                 f"{ours.cpu_us / pipe.cpu_us:.2f}x")
            )  # fmt: skip
    per_chunk = {
        name: [(found[name, kind, 16].cpu_us - found[name, "json", 16].cpu_us) / CHUNKS for kind in STREAMS]
        for name in TARGETS[1:]
    }
    chunk_rows = [(name, *(f"{value:.0f}" for value in values)) for name, values in per_chunk.items()]
    return "\n\n".join(
        [
            "## Gateway (`make bench-gateway`)",
            "A raw model behind `smartstore serve` (key check, rate limit, validation, counting, a log line "
            "a request) against the upstream itself, a bare ASGI byte pipe (the same server, aiohttp as its "
            "client), and LiteLLM's proxy with a master key and no database. One mock upstream; every "
            "gateway on one core alone, mock and load on the others; medians over interleaved rounds. "
            "`stream` is 32 chunks written one by one, `paced` the same 4 ms apart.",
            table(("case", "target", "requests/s", "p50 ms", "added p50 ms", "CPU µs a request"), rows),
            "Ratios of `smartstore`; the aims are at least 8x, at most 1/8, at most 2.5x:",
            table(
                ("case", "requests/s / LiteLLM", "added p50 / LiteLLM", "CPU a request / byte pipe"), ratios
            ),
            "CPU µs per streamed chunk (a stream less a JSON answer, over 32, 16 clients; the aim is at most "
            "30). Apart in time each chunk costs a wake-up, a read and a write, even of the bare pipe:",
            table(("target", "chunks one by one", "4 ms apart"), chunk_rows),
            conditions(),
        ]
    )


def main() -> None:
    """Runs it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--litellm", type=Path, default=ROOT / ".venv-litellm", help="its environment")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--dry", action="store_true", help="print only, leave the document alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        targets = start_all(stack, Path(folder), options.litellm.absolute())
        runs = asyncio.run(measure(targets, rounds=options.rounds, seconds=options.seconds))
    text = report(runs)
    print(text)
    if not options.dry:
        write_section("bench-gateway", text)


if __name__ == "__main__":
    uvloop.install()
    main()
