"""`make bench-history`: turns a second with the lasting history and without it, side by side.

Two real servers on the bundled corpus, alike but for `history.enabled`; 16 clients ask each of them in turns,
a block of questions at a time, so that what slows the machine slows both. At the end every turn stands in the
history.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from contextlib import AbstractContextManager, ExitStack
from itertools import islice
from pathlib import Path
from statistics import median

import httpx
import uvloop

from tests.api.live import Live, serve, smartstore, wait_until
from tests.bench.faq import CLIENTS, ask_all, questions
from tests.bench.report import conditions, table, write_section

BLOCK = 200  # questions a server is asked before the other one has its turn
AIM = 0.95  # of the turns a second without a history


def recorded(server: Live) -> int:
    """Turns that stand in the history."""
    total: int = httpx.get(f"{server.url}/history/turns", timeout=60).raise_for_status().json()["total"]
    return total


def started(data_dir: Path, *, history: bool) -> AbstractContextManager[Live]:
    """A server of its own, its index built."""
    data_dir.mkdir()
    smartstore(data_dir, "index", "build")
    return serve(data_dir, SMARTSTORE_HISTORY__ENABLED=str(history), OMP_NUM_THREADS="1")


def main() -> int:
    """Measures, prints, and writes the section; 1 where turns are missing or the history costs too much."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=2000, help="of each server")
    options = parser.parse_args()
    known = questions(BLOCK)
    # A number makes a question a new one: the caches answer none of them.
    asked = (f"{question} {n}" for n in range(10_000) for question in known)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        servers = {
            name: stack.enter_context(started(Path(folder) / name, history=name == "with"))
            for name in ("with", "without")
        }
        seconds: dict[str, list[float]] = {name: [] for name in servers}
        cpu: dict[str, list[float]] = {name: [] for name in servers}
        for block in range(options.turns // BLOCK + 1):
            for name in sorted(servers, reverse=block % 2 == 1):
                server = servers[name]
                port, pid = httpx.URL(server.url).port or 0, server.process.pid
                taken, used, _ = asyncio.run(ask_all(port, list(islice(asked, BLOCK)), pid))
                if block:  # the first one warms up
                    seconds[name].append(taken)
                    cpu[name].append(used)
        turns = len(seconds["with"]) * BLOCK
        began = time.perf_counter()
        wait_until(lambda: recorded(servers["with"]) == turns + BLOCK, 60)
        late = time.perf_counter() - began
    speed = {name: BLOCK / median(blocks) for name, blocks in seconds.items()}
    ratio = speed["with"] / speed["without"]
    rows = [
        (f"{name} history", f"{speed[name]:.1f}", f"{sum(cpu[name]) / turns * 1000:.1f}") for name in servers
    ]
    section = (
        "## What the history costs (`make bench-history`)\n\n"
        f"{turns} different questions to each of two servers, {CLIENTS} clients, blocks of {BLOCK} by turns; "
        "medians of the blocks.\n\n"
        f"{table(('server', 'turns/s', 'CPU ms a turn'), rows)}\n\n"
        f"With the history {ratio:.1%} of the turns without (aim: {AIM:.0%}); all of them stood in it "
        f"{late:.1f} s after the last.\n\n{conditions()}"
    )
    print(section)
    write_section("bench-history", section)
    return int(ratio < AIM)


if __name__ == "__main__":
    uvloop.install()
    sys.exit(main())
