"""Must show 4: another index goes into service under load, and back."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field

import aiohttp

from tests.cluster.questions import SAMPLE, questions
from tests.cluster.reader import Turn, ask
from tests.cluster.report import table, write_section
from tests.cluster.stack import Stack, stack

_CLIENTS, _AROUND_S, _CHANGED = 6, 8.0, 30


@dataclass
class _Load:
    urls: list[str]
    turns: list[Turn] = field(default_factory=list)
    over: bool = False

    async def client(self, http: aiohttp.ClientSession, first: int) -> None:
        source = questions()
        for _ in range(first * 20):
            next(source)
        while not self.over:
            self.turns.append(await ask(http, self.urls, next(source)))


def _fingerprint(cluster: Stack) -> str:
    lines = cluster.smartstore("index", "info").splitlines()
    return next(line.split(": ")[1] for line in lines if line.startswith("fingerprint"))


def revised(faqs: list[dict[str, str]]) -> list[dict[str, str]]:
    """The corpus with its first answers changed."""
    changed = [faq | {"answer": "개정판. " + faq["answer"]} for faq in faqs[:_CHANGED]]
    return changed + faqs[_CHANGED:]


async def _drill() -> None:
    quick = {"providers": {"default": "extractive"}}
    with stack(milvus=True, settings=quick) as cluster:
        other = cluster.folder / "other.jsonl"
        faqs = [json.loads(line) for line in SAMPLE.read_text(encoding="utf-8").splitlines()]
        other.write_text("\n".join(json.dumps(faq) for faq in revised(faqs)))
        load, marks = _Load([api.url for api in cluster.apis]), [("first index", time.monotonic())]
        async with aiohttp.ClientSession() as http:
            clients = [asyncio.create_task(load.client(http, n)) for n in range(_CLIENTS)]
            await asyncio.sleep(_AROUND_S)
            first = await asyncio.to_thread(_fingerprint, cluster)
            building = time.monotonic()
            await cluster.command("index", "build", "--faq", str(other))
            marks.append(("second index", time.monotonic()))
            second = await asyncio.to_thread(_fingerprint, cluster)
            await asyncio.sleep(_AROUND_S)
            await cluster.command("index", "rollback")
            marks.append(("rolled back", time.monotonic()))
            await asyncio.sleep(_AROUND_S)
            load.over = True
            await asyncio.gather(*clients)
    _write(load.turns, marks, (first, second), marks[1][1] - building)


def _write(turns: list[Turn], marks: list[tuple[str, float]], known: tuple[str, str], build_s: float) -> None:
    rows, unknown = [], 0
    for n, (phase, since) in enumerate(marks):
        until = marks[n + 1][1] if n + 1 < len(marks) else float("inf")
        mine = [turn for turn in turns if since <= turn.asked_at < until]
        used = [turn.events[-1][2]["index"] for turn in mine if turn.end == "completed"]
        unknown += sum(index not in known for index in used)
        wanted = known[n % 2]
        switched = [
            t.asked_at - since for t in mine if t.end == "completed" and t.events[-1][2]["index"] == wanted
        ]
        failed = sum(turn.end != "completed" for turn in mine)
        rows.append((phase, len(mine), failed, used.count(known[0]), used.count(known[1]),
                     f"{min(switched, default=float('nan')):.1f} s"))  # fmt: skip
    changed = sum(turn.doubled or not turn.in_order for turn in turns)
    head = ("current index", "turns asked", "failed or lost", "answered from the first", "from the second",
            "first turn on it asked after")  # fmt: skip
    write_section(
        "reindex",
        f"## 4. Re-index under load, and rollback\n\n"
        f"{_CLIENTS} clients ask without pause while `smartstore index build` indexes a corpus "
        f"with {_CHANGED} other answers ({build_s:.0f} s) and moves the alias; "
        "then `smartstore index rollback`. "
        f"Turns that name any other fingerprint: {unknown}; doubled or out of order: {changed}.\n\n"
        + table(head, rows),
    )


def run() -> None:
    """Runs the drill."""
    asyncio.run(_drill())
