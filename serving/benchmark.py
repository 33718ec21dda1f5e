"""Measures a vLLM server with vLLM's own bench on the stack's real prompts.

    python -m serving.benchmark configs/serving/qwen3-32b-lora.yaml --prompts var/finetune/data/train.jsonl
    python -m serving.benchmark CONFIG --dummy-weights --tokenizer var/finetune/tiny-base [--dry-run]

Starts the server of the configuration and puts the same prompts to base and adapter, each twice: with the
prefix cache cold, then warm. Tells time to first token, time per further token, throughput, goodput under
an SLO, and the share of prompt tokens found in the prefix cache. `--dummy-weights` downloads nothing.
Prompts are made by `python -m finetune.dataset`. Knows the server by its command line and `/metrics`.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from serving.dummy import write_adapter, write_model
from serving.errors import CannotServe, ServerFailed, ServingError
from serving.launch.command import resolve_shape
from serving.launch.config import Config, load_config
from serving.launch.preflight import make_plan
from serving.launch.supervisor import show
from serving.vllm_api import Vllm

# `vllm bench serve`, without the `vllm` command, which the CPU wheel does not carry.
_BENCH = (
    "from vllm.benchmarks.serve import add_cli_args, main\n"
    "from vllm.utils.argparse_utils import FlexibleArgumentParser\n"
    "parser = FlexibleArgumentParser()\nadd_cli_args(parser)\nmain(parser.parse_args())\n"
)
_HITS, _ASKED = "vllm:prefix_cache_hits_total", "vllm:prefix_cache_queries_total"
_DUMMY = "bench-adapter"
_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Load:
    """What is put to the server.

    Attributes:
        prompts: conversations, a `{"messages": […]}` a line.
        requests: how many of them.
        concurrency: how many at the same time.
        output_tokens: length of every answer, in tokens.
        ttft_ms, tpot_ms: the SLO; requests within both count as goodput.
    """

    prompts: Path
    requests: int = 64
    concurrency: int = 8
    output_tokens: int = 128
    ttft_ms: float = 1000.0
    tpot_ms: float = 50.0


@dataclass(frozen=True)
class Measured:
    """One pass; times in ms, throughput in tokens a second, goodput in requests a second."""

    model: str
    cache: str
    completed: int
    ttft_p50: float
    ttft_p99: float
    tpot_p50: float
    tpot_p99: float
    output_tokens_s: float
    total_tokens_s: float
    goodput: float
    cached_share: float


def bench_command(config: Config, load: Load, *, model: str, prompts: Path, out: Path) -> list[str]:
    """The command of one pass."""
    return [
        config.server.python or sys.executable, "-c", _BENCH,
        "--backend=vllm", f"--base-url={_url(config)}", "--endpoint=/v1/completions",
        f"--model={model}", f"--tokenizer={config.model.path}",
        "--dataset-name=custom", f"--dataset-path={prompts}", "--skip-chat-template", "--disable-shuffle",
        f"--custom-output-len={load.output_tokens}", f"--num-prompts={load.requests}",
        f"--max-concurrency={load.concurrency}", "--ignore-eos", "--temperature=0", "--disable-tqdm",
        "--percentile-metrics=ttft,tpot", "--metric-percentiles=50,99",
        "--goodput", f"ttft:{load.ttft_ms:g}", f"tpot:{load.tpot_ms:g}",
        "--save-result", f"--result-dir={out.parent}", f"--result-filename={out.name}",
    ]  # fmt: skip


def measure(config: Config, load: Load, folder: Path, *, adapter: str) -> list[Measured]:
    """Base and adapter, cold and warm, on a server that runs.

    Raises:
        ServerFailed: a pass failed.
    """
    prompts = folder / "prompts.jsonl"
    python = config.server.python or sys.executable
    render = [python, "-m", "serving.launch.render_prompts", f"--tokenizer={config.model.path}"]
    _run([*render, f"--out={prompts}", f"--limit={load.requests}", str(load.prompts)])
    found = []
    with Vllm(_url(config)) as server:
        for model in dict.fromkeys((config.model.names[0], adapter)):
            for cache in ("cold", "warm") if model else ():
                before = server.counters()
                out = folder / f"{model}-{cache}.json"
                _run(bench_command(config, load, model=model, prompts=prompts, out=out))
                after = server.counters()
                asked = after.get(_ASKED, 0) - before.get(_ASKED, 0)
                share = (after.get(_HITS, 0) - before.get(_HITS, 0)) / asked if asked else 0.0
                found.append(_measured(model, cache, json.loads(out.read_text("utf-8")), share))
    return found


def _measured(model: str, cache: str, told: dict[str, Any], share: float) -> Measured:
    return Measured(
        model=model, cache=cache, completed=int(told["completed"]),
        ttft_p50=told["p50_ttft_ms"], ttft_p99=told["p99_ttft_ms"],
        tpot_p50=told["p50_tpot_ms"], tpot_p99=told["p99_tpot_ms"],
        output_tokens_s=told["output_throughput"], total_tokens_s=told["total_token_throughput"],
        goodput=told.get("request_goodput") or told.get("request_goodput:") or 0.0, cached_share=share,
    )  # fmt: skip


def table(found: list[Measured]) -> str:
    """The passes for reading; the last line compares the adapter with the base."""
    lines = [
        "model                      cache  TTFT p50  p99 ms  TPOT p50  p99 ms  out tok/s  goodput/s  cached"
    ]
    lines += [
        f"{m.model:<27}{m.cache:<5}{m.ttft_p50:>10.0f}{m.ttft_p99:>8.0f}{m.tpot_p50:>10.2f}{m.tpot_p99:>8.2f}"
        f"{m.output_tokens_s:>11.1f}{m.goodput:>11.2f}{m.cached_share:>8.0%}"
        for m in found
    ]
    if len(found) == 4 and found[1].tpot_p50:
        lines.append(f"adapter against base, warm: TPOT x {found[3].tpot_p50 / found[1].tpot_p50:.3f}")
    return "\n".join(lines)


@contextmanager
def running(config: Config, folder: Path) -> Iterator[None]:
    """The server of the configuration, from ready to ended.

    Raises:
        ServerFailed: it does not become ready; its log is in the message.
    """
    file, log = folder / "serving.yaml", folder / "vllm.log"
    file.write_text(yaml.safe_dump(config.model_dump(mode="json")), encoding="utf-8")
    command = [sys.executable, "-m", "serving.launch", str(file)]
    with log.open("w") as out, Vllm(_url(config)) as server:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=_environment())
        try:
            deadline = time.monotonic() + config.server.ready_timeout_s
            while not server.healthy():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise ServerFailed(_url(config), f"did not start:\n{log.read_text()[-2000:]}")
                time.sleep(1)
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(config.server.stop_timeout_s + 30)


def stand_in(config: Config, folder: Path, *, tokenizer: Path) -> Config:
    """The configuration with a model folder without weights.

    Raises:
        CannotServe: there is no tokenizer to use.
    """
    if not (tokenizer / "tokenizer_config.json").is_file():
        raise CannotServe(
            f"--tokenizer {tokenizer}: holds none; build one with `python -m finetune.tiny {tokenizer}`"
        )
    path = Path(config.model.path)
    write_model(
        folder / "model", shape=path if path.is_dir() else config.model.shape or path, tokenizer=tokenizer
    )
    model = config.model.model_copy(update={"path": str(folder / "model"), "dummy_weights": True})
    lora = config.lora.model_copy(update={"adapters": folder / "adapters"}) if config.lora else None
    return config.model_copy(update={"model": model, "lora": lora})


def _adapter(config: Config, folder: Path, chosen: str, *, dummy: bool) -> str:
    """Loads the adapter to compare with; empty where there is none."""
    if config.lora is None:
        return ""
    with Vllm(_url(config)) as server:
        if dummy:
            write_adapter(folder / _DUMMY, resolve_shape(config), rank=config.lora.rank)
            server.load(_DUMMY, str(folder / _DUMMY))
            return _DUMMY
        loaded = [model["id"] for model in server.models() if model.get("parent")]
        if chosen and chosen not in loaded:
            server.load(chosen, str((config.lora.adapters / chosen).resolve()))
        return chosen or (loaded[0] if loaded else "")


def _url(config: Config) -> str:
    return f"http://127.0.0.1:{config.server.port}"


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(_ROOT)}


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, env=_environment())
    if done.returncode:
        told = (done.stdout + done.stderr)[-2000:]
        raise ServerFailed(command[0], f"{' '.join(command[1:4])[:60]} … failed:\n{told}")


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m serving.benchmark", description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--prompts", type=Path, default=Path("var/finetune/data/train.jsonl"))
    parser.add_argument("--adapter", default="", help="its name; by default the one in service")
    parser.add_argument("--requests", type=int, default=Load.requests)
    parser.add_argument("--concurrency", type=int, default=Load.concurrency)
    parser.add_argument("--output-tokens", type=int, default=Load.output_tokens)
    parser.add_argument("--slo-ttft-ms", type=float, default=Load.ttft_ms)
    parser.add_argument("--slo-tpot-ms", type=float, default=Load.tpot_ms)
    parser.add_argument("--dummy-weights", action="store_true", help="random weights in the model's shape")
    parser.add_argument("--tokenizer", type=Path, default=Path("var/finetune/tiny-base"))
    parser.add_argument("--out", type=Path, default=Path("var/benchmarks/serving.json"))
    parser.add_argument("--dry-run", action="store_true", help="print the commands; start nothing")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Measures the server that the command line names; writes a JSON file and prints a table."""
    given = _parse(argv)
    try:
        with tempfile.TemporaryDirectory(prefix="smartstore-bench-") as temporary:
            folder = Path(temporary)
            config = load_config(given.config)
            if given.dummy_weights:
                config = stand_in(config, folder, tokenizer=given.tokenizer)
            load = Load(
                given.prompts, given.requests, given.concurrency, given.output_tokens,
                given.slo_ttft_ms, given.slo_tpot_ms,
            )  # fmt: skip
            if given.dry_run:
                print(show(config, make_plan(config)))
                command = bench_command(
                    config, load, model=config.model.names[0],
                    prompts=folder / "prompts.jsonl", out=folder / "base-cold.json",
                )  # fmt: skip
                print("\n" + shlex.join(command))
                return 0
            if not load.prompts.is_file():
                raise CannotServe(
                    f"--prompts {load.prompts}: no such file; `python -m finetune.dataset` makes one"
                )
            with running(config, folder):
                adapter = _adapter(config, folder, given.adapter, dummy=given.dummy_weights)
                found = measure(config, load, folder, adapter=adapter)
    except ServingError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    given.out.parent.mkdir(parents=True, exist_ok=True)
    told = {"config": str(given.config), "load": {**asdict(load), "prompts": str(load.prompts)},
            "dummy_weights": given.dummy_weights, "passes": [asdict(each) for each in found]}  # fmt: skip
    given.out.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    print(table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
