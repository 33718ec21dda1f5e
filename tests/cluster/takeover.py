"""Must show 1: a turn started at API 1 and followed at API 2 survives `kill -9` of API 1."""

from __future__ import annotations

import asyncio
import signal

import aiohttp

from tests.cluster.questions import questions
from tests.cluster.reader import Turn, read
from tests.cluster.report import table, write_section
from tests.cluster.stack import stack

_TURNS = 5


async def _follow(http: aiohttp.ClientSession, first: str, second: str, question: str) -> tuple[Turn, Turn]:
    """What the asker at the first API and a follower at the second one saw."""
    follower = Turn(question)
    async with http.post(first + "/chat", json={"question": question}) as started:
        follower.turn_id = started.headers["X-Turn-Id"]
        asked = Turn(question, turn_id=follower.turn_id)
        reading = asyncio.create_task(read(asked, started))
        async with http.get(f"{second}/chat/turns/{follower.turn_id}/events") as response:
            await read(follower, response)
        await asyncio.gather(reading, return_exceptions=True)
    return asked, follower


async def _drill() -> None:
    with stack(workers=1) as cluster:
        first, second = cluster.apis
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=90)) as http:
            asked = questions()
            turns = [
                asyncio.create_task(_follow(http, first.url, second.url, next(asked))) for _ in range(_TURNS)
            ]
            await asyncio.sleep(2.0)
            await asyncio.to_thread(first.signal, signal.SIGKILL)
            pairs = await asyncio.gather(*turns)
    rows = []
    for n, (asked_turn, follower) in enumerate(pairs, start=1):
        once = not follower.doubled and follower.in_order
        rows.append(
            (f"{n}", len(asked_turn.events), len(follower.events), "yes" if once else "NO", follower.end)
        )
    head = ("turn", "events at API 1 before its end", "events at API 2", "each once, in order", "end")
    write_section(
        "takeover",
        "## 1. API 1 dies in mid-answer (`kill -9`)\n\n"
        "Turns started at API 1 and followed at API 2; API 1 is killed two seconds later.\n\n"
        + table(head, rows),
    )


def run() -> None:
    """Runs the drill."""
    asyncio.run(_drill())
