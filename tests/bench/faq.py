"""`make bench-faq`: turns a second of the `faq` model, and where the CPU of a turn goes.

A real server on the bundled corpus with its own embedder and the extractive provider, 16 clients of
the OpenAI endpoint, every question different. CPU is the server's, from the kernel; its division by
step comes from running the same steps one by one in this process, on the CPU clock of its threads.
The state's share is what the server spends besides them: HTTP, events, sessions, the store.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import mean, median
from typing import TypeVar

import uvloop

from tests.bench.gateway import ROOT, free_port, process, wait_for
from tests.bench.load import cpu_seconds, once, request_bytes
from tests.bench.report import conditions, table, write_section

CLIENTS = 16
T = TypeVar("T")


def questions(count: int) -> list[str]:
    """Different questions about the bundled corpus: its expansions."""
    path = ROOT / "configs" / "expansions" / "sample.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    found = list(dict.fromkeys(query for row in rows for query in row["queries"]))
    return found[:count]


def request(port: int, question: str) -> bytes:
    body = {"model": "faq/extractive", "messages": [{"role": "user", "content": question}], "stream": True}
    return request_bytes(port, "/v1/chat/completions", json.dumps(body, ensure_ascii=False).encode(), "x")


async def ask_all(port: int, asked: list[str], pid: int) -> tuple[float, float, list[float]]:
    """Seconds, CPU seconds, and each turn's milliseconds."""
    left, latencies = list(asked), list[float]()

    async def client() -> None:
        while left:
            wire = request(port, left.pop())
            started = time.perf_counter()
            answer = await once(port, wire)
            if b"[DONE]" not in answer:
                raise RuntimeError(answer[:500].decode(errors="replace"))
            latencies.append((time.perf_counter() - started) * 1000)

    before, began = cpu_seconds([pid]), time.perf_counter()
    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return time.perf_counter() - began, cpu_seconds([pid]) - before, latencies


def steps(asked: list[str]) -> dict[str, float]:
    """Mean CPU milliseconds of each step of a turn, one after another in this process."""
    from api.conversation.context import ContextResolver
    from api.conversation.followups import FollowUps
    from api.conversation.memory import Memory
    from api.indexing.opening import open_searcher
    from api.providers.base import GenerationOptions, full_answer
    from api.providers.extractive import Extractive
    from api.settings import load_settings
    from retrieval.prompt import ground, load_system_prompt
    from retrieval.scope.classifier import ScopeClassifier

    searcher = open_searcher(load_settings())
    resolver, scope = ContextResolver(searcher), ScopeClassifier.load()
    followups, provider = FollowUps(searcher), Extractive(searcher.tokenizer)
    system, spent, runner = load_system_prompt(), dict[str, list[float]](), asyncio.Runner()

    def timed(step: str, action: Callable[[], T]) -> T:
        began = time.process_time()
        found = action()
        spent.setdefault(step, []).append((time.process_time() - began) * 1000)
        return found

    for question in asked:
        result = timed("embed, search, rank", lambda q=question: searcher.search(q))
        timed("embed", lambda q=question: searcher.embedder.embed_queries([q]))
        resolution = timed("context, embed, search, rank", lambda q=question: resolver.resolve(q, Memory()))
        verdict = timed("verdict", lambda r=resolution, q=question: scope.judge(q, r.result, followup=False))
        faqs = [hit.faq for hit in result.hits[:4]]
        prompt = ground(question, faqs, system=system, history=(), standalone=question)
        timed(
            "answer",
            lambda p=prompt: runner.run(full_answer(provider.stream(p, GenerationOptions()))),
        )
        timed(
            "follow-ups",
            lambda r=resolution, v=verdict: followups.suggest(r.result, v, Memory(), r.standalone),
        )
    runner.close()
    cpu = {step: mean(values[2:]) for step, values in spent.items()}
    return {
        "rewrite (context)": max(cpu["context, embed, search, rank"] - cpu["embed, search, rank"], 0.0),
        "embed": cpu["embed"],
        "search and rank": max(cpu["embed, search, rank"] - cpu["embed"], 0.0),
        "verdict": cpu["verdict"],
        "answer (extractive)": cpu["answer"],
        "follow-ups": cpu["follow-ups"],
    }


def report(
    seconds: float,
    cpu_s: float,
    latencies: list[float],
    steps_ms: dict[str, float],
    cached: tuple[float, float],
) -> str:
    """The section of docs/performance.md."""
    turns = len(latencies)
    whole = cpu_s / turns * 1000
    rest = max(whole - sum(steps_ms.values()), 0.0)
    shares = steps_ms | {"HTTP, events, state (the rest)": rest}
    largest = max(shares, key=lambda step: shares[step])
    rows = [(step, f"{ms:.2f}", f"{ms / whole:.0%}") for step, ms in shares.items()]
    first, again = cached
    return "\n\n".join(
        [
            "## Turns of the `faq` model (`make bench-faq`)",
            f"{turns} different questions over the bundled corpus, {CLIENTS} clients, embedded state store, "
            f"extractive provider: **{turns / seconds:.1f} turns/s**, median {median(latencies):.0f} ms, "
            f"{whole:.1f} ms CPU a turn (server and store).",
            table(("step", "CPU ms a turn", "share"), [*rows, ("whole turn", f"{whole:.2f}", "100%")]),
            f"Largest: {largest}.",
            f"A question asked again comes from the exact cache: median {again:.1f} ms against {first:.1f} "
            f"ms the first time, one client, {first / again:.1f}x faster.",
            conditions(),
        ]
    )


async def repeat(port: int, asked: list[str]) -> tuple[float, float]:
    """Median ms of questions the first time, and of the same ones again, from one client."""
    times: list[list[float]] = [[], []]
    for which in times:
        for question in asked:
            began = time.perf_counter()
            await once(port, request(port, question))
            which.append((time.perf_counter() - began) * 1000)
    return median(times[0]), median(times[1])


def main() -> None:
    """Runs it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=300)
    parser.add_argument("--dry", action="store_true", help="print only, leave the document alone")
    options = parser.parse_args()
    asked = questions(options.turns + 40)
    if len(asked) <= 60:
        raise SystemExit("too few questions in configs/expansions/sample.jsonl")
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder, port = Path(name), free_port()
        env = {"SMARTSTORE_DATA_DIR": name, "OMP_NUM_THREADS": "1"}
        os.environ.update(env)
        smartstore = [sys.executable, "-m", "api.cli"]
        subprocess.run([*smartstore, "index", "build"], cwd=ROOT, check=True, capture_output=True)
        log = folder / "serve.log"
        pid = stack.enter_context(
            process([*smartstore, "serve", "--port", str(port)], core=_cores(), env=env, log=log)
        )
        wait_for(f"http://127.0.0.1:{port}/health", log, pid)
        cached = asyncio.run(repeat(port, asked[:40]))
        seconds, cpu_s, latencies = asyncio.run(ask_all(port, asked[40:], pid))
        by_step = steps(asked[40:100])
    text = report(seconds, cpu_s, latencies, by_step, cached)
    print(text)
    if not options.dry:
        write_section("bench-faq", text)


def _cores() -> str:
    return f"0-{(os.cpu_count() or 1) - 1}"


if __name__ == "__main__":
    uvloop.install()
    main()
