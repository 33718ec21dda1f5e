"""Must show 5: the offered load doubles until turns are refused, then falls again."""

from __future__ import annotations

import asyncio
import time

import aiohttp

from tests.cluster.questions import questions
from tests.cluster.reader import Turn, ask, percentile
from tests.cluster.report import table, write_section
from tests.cluster.stack import Stack, rss_mb, stack

_STEP_S, _RATES = 30.0, (2, 4, 8, 16, 32)
_WAITING, _WAIT_S, _CONCURRENCY = 24, 5.0, 8


async def _offer(http: aiohttp.ClientSession, urls: list[str], rate: float) -> list[asyncio.Task[Turn]]:
    """Asks `rate` times a second for one step, whether or not answers come."""
    source, turns, begin = questions(), [], time.monotonic()
    for n in range(int(rate * _STEP_S)):
        await asyncio.sleep(max(0.0, begin + n / rate - time.monotonic()))
        turns.append(asyncio.create_task(ask(http, urls[n % 2 :] + urls[: n % 2], next(source), once=True)))
    return turns


def _memory(cluster: Stack) -> list[float]:
    assert cluster.redis.process is not None
    apis, workers = (max(n.rss_mb() for n in nodes) for nodes in (cluster.apis, cluster.workers))
    return [apis, workers, rss_mb(cluster.redis.process.pid)]


def _row(name: str, turns: list[Turn], memory: list[float]) -> tuple[object, ...]:
    taken = [t for t in turns if not t.refused]
    first = [t.at[0] - t.asked_at for t in taken if t.at]
    whole = [t.at[-1] - t.asked_at for t in taken if t.end == "completed"]
    refused = [t for t in turns if t.refused]
    bare = sum(not t.retry_after for t in refused)
    failed = sum(t.end != "completed" for t in taken)
    return (
        name, len(turns), len(taken), failed, len(refused), bare,
        f"{percentile(first, 0.95):.1f} s", f"{percentile(whole, 0.95):.1f} s",
        " / ".join(f"{mb:.0f}" for mb in memory),
    )  # fmt: skip


async def _drill() -> None:
    bounds = {"queue": {"concurrency": _CONCURRENCY, "max_length": _WAITING, "max_wait_s": _WAIT_S}}
    rows: list[tuple[object, ...]] = []
    with stack(settings=bounds) as cluster:
        cluster.upstream.piece_s = 0.1
        urls = [api.url for api in cluster.apis]
        limits = aiohttp.ClientTimeout(total=None, sock_read=60)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(timeout=limits, connector=connector) as http:
            for rate in (*_RATES, _RATES[0]):
                turns = await asyncio.gather(*await _offer(http, urls, rate))
                back = rows and rate == _RATES[0]
                rows.append(_row(f"{rate}/s" + (" again" if back else ""), turns, _memory(cluster)))
                print(rows[-1], flush=True)
    head = ("offered", "asked", "taken", "of them failed", "refused (503)", "without `Retry-After`",
            "p95 to the first event", "p95 to the end", "memory of API / worker / Redis, MB")  # fmt: skip
    write_section(
        "overload",
        "## 5. Load until refusal\n\n"
        f"The offered load doubles every {_STEP_S:.0f} s. Two workers with {_CONCURRENCY} turns each "
        f"at a time, {_WAITING} more may wait (`queue.max_length`) and no longer than {_WAIT_S:g} s "
        "(`queue.max_wait_s`), an upstream that takes 1 s for an answer.\n\n" + table(head, rows),
    )


def run() -> None:
    """Runs the drill."""
    asyncio.run(_drill())
