"""Must show 2: 200 turns by 20 clients while each fault happens once."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

import aiohttp

from tests.cluster.questions import questions
from tests.cluster.reader import Turn, ask, percentile
from tests.cluster.report import table, write_section
from tests.cluster.servers import Server
from tests.cluster.stack import Stack, stack

_TURNS, _CLIENTS = 200, 20
_STALL_S = 8.0


@dataclass
class Fault:
    """Something that happens once; `back_at` is when its cause was gone again."""

    name: str
    happen: Callable[[], Awaitable[None]]
    at: float = 0.0
    back_at: float = 0.0


@dataclass
class _Run:
    cluster: Stack
    turns: list[Turn] = field(default_factory=list)
    asked: int = 0
    quota: int = _TURNS

    async def client(self, http: aiohttp.ClientSession, source: Iterator[str], urls: list[str]) -> None:
        while self.asked < _TURNS:
            if self.asked >= self.quota:
                await asyncio.sleep(0.05)
                continue
            self.asked += 1
            self.turns.append(await ask(http, urls, next(source)))

    async def cause(self, faults: list[Fault]) -> None:
        """Lets each fault happen in the middle of its share of the turns, one after the other."""
        share = _TURNS / len(faults)
        for n, fault in enumerate(faults, start=1):
            self.quota = round(n * share)
            while self.asked < (n - 0.4) * share:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            fault.at = time.monotonic()
            print(f"{self.asked} asked: {fault.name}", flush=True)
            await fault.happen()
            fault.back_at = time.monotonic()
        self.quota = _TURNS

    async def replace(self, n: int, number: signal.Signals) -> None:
        """Ends a worker; another one starts in its place, as a restart policy does."""
        worker = self.cluster.workers[n]
        await asyncio.to_thread(worker.signal, number)
        await asyncio.to_thread(lambda: worker.start().wait_ready())

    async def restart(self, server: Server | None) -> None:
        assert server is not None
        await asyncio.to_thread(server.stop)
        await asyncio.sleep(1.0)
        await asyncio.to_thread(server.start)

    async def stall(self) -> None:
        upstream = self.cluster.upstream
        pause, upstream.piece_s = upstream.piece_s, _STALL_S
        await asyncio.sleep(_STALL_S)
        upstream.piece_s = pause


async def _drill() -> None:
    with stack(milvus=True) as cluster:
        run = _Run(cluster)
        faults = [
            Fault("worker `kill -9` in mid-answer", lambda: run.replace(0, signal.SIGKILL)),
            Fault("worker SIGTERM", lambda: run.replace(1, signal.SIGTERM)),
            Fault("RabbitMQ stop and start", lambda: run.restart(cluster.rabbit)),
            Fault("Redis restart (append-only file)", lambda: run.restart(cluster.redis)),
            Fault("Milvus server restart", lambda: run.restart(cluster.milvus)),
            Fault(f"upstream stalls for {_STALL_S:g} s", run.stall),
        ]
        urls, source, began = [api.url for api in cluster.apis], questions(), time.monotonic()
        limits = aiohttp.ClientTimeout(total=None, sock_read=60)
        async with aiohttp.ClientSession(timeout=limits) as http:
            clients = [run.client(http, source, urls if n % 2 else urls[::-1]) for n in range(_CLIENTS)]
            await asyncio.gather(run.cause(faults), *clients)
        took = time.monotonic() - began
        dead = await cluster.command("turns", "dead", "list")
    _write(run.turns, faults, took, dead.splitlines()[-1])


def _write(turns: list[Turn], faults: list[Fault], took: float, dead: str) -> None:
    ends = [turn.end for turn in turns]
    codes = [turn.events[-1][2]["code"] for turn in turns if turn.end == "failed"]
    switched = sum(any(kind == "provider.switched" for _, kind, _ in turn.events) for turn in turns)
    whole = [
        ("turns asked", len(turns)),
        ("completed", ends.count("completed")),
        ("reported as failed", f"{len(codes)}" + (f" ({', '.join(sorted(set(codes)))})" if codes else "")),
        ("lost", ends.count("lost")),
        ("doubled for the reader", sum(turn.doubled for turn in turns)),
        ("with a gap in the numbers", sum(not turn.in_order for turn in turns)),
        ("told that the text starts again", switched),
        ("lines lost and resumed", sum(turn.resumed for turn in turns)),
        ("turns first refused with 503, then taken", sum(turn.refused > 0 for turn in turns)),
        ("longest silence for a reader of a taken turn", f"{max(t.longest_silence_s for t in turns):.1f} s"),
        ("p50 / p95 of ask to end", _asked_to_end(turns)),
        ("dead letters", dead),
    ]
    rows = []
    for fault in faults:
        later = [t.at[-1] for t in turns if t.asked_at >= fault.at and t.end == "completed"]
        back = f"{min(later) - fault.at:.1f} s" if later else "-"
        hit = [t for t in turns if t.asked_at <= fault.back_at and (t.at or [0.0])[-1] >= fault.at]
        failed = sum(t.end == "failed" for t in hit)
        rows.append((fault.name, f"{fault.back_at - fault.at:.1f} s", len(hit), failed, back))
    head = ("fault", "lasted", "turns it met", "of them failed", "first turn asked after it completed")
    write_section(
        "faults",
        f"## 2. {len(turns)} turns by {_CLIENTS} clients in {took:.0f} s, each fault once\n\n"
        "Two APIs and two workers, each with a snapshot of the index on the Milvus server. A worker that was "
        "ended is started again as by a restart policy; nothing else of ours is restarted.\n\n"
        + table(("", "figure"), whole) + "\n\n" + table(head, rows),
    )  # fmt: skip


def _asked_to_end(turns: list[Turn]) -> str:
    seconds = [turn.at[-1] - turn.asked_at for turn in turns if turn.at]
    return f"{percentile(seconds, 0.5):.1f} s / {percentile(seconds, 0.95):.1f} s"


def run() -> None:
    """Runs the drill."""
    asyncio.run(_drill())
