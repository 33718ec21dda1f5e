"""Must show 3: what the queue adds to the time to the first event and to the first piece of text."""

from __future__ import annotations

import asyncio
import time

import aiohttp

from tests.cluster.questions import questions
from tests.cluster.reader import events, percentile
from tests.cluster.report import table, write_section
from tests.cluster.stack import stack

_TURNS, _WARM = 100, 10


async def _first(http: aiohttp.ClientSession, url: str, question: str) -> tuple[float, float]:
    """Milliseconds from the request to the first event, and to the first piece of text."""
    started, first, text = time.perf_counter(), 0.0, 0.0
    async with http.post(url + "/chat", json={"question": question}) as response:
        async for _, kind, _ in events(response):
            now = (time.perf_counter() - started) * 1000
            first = first or now
            if kind == "delta":
                text = text or now
    return first, text


async def _drill() -> None:
    plain = {"providers": {"default": "extractive"}}
    with stack(apis=1, workers=0, settings=plain) as one, stack(apis=1, workers=1, settings=plain) as other:
        urls = {"inline": one.apis[0].url, "queued": other.apis[0].url}
        seen: dict[str, list[tuple[float, float]]] = {name: [] for name in urls}
        source = questions()
        async with aiohttp.ClientSession() as http:
            for n in range(_TURNS + _WARM):
                question = next(source)
                for name, url in urls.items():
                    figures = await _first(http, url, question)
                    if n >= _WARM:
                        seen[name].append(figures)
    rows = []
    for n, what in enumerate(("first event", "first piece of text")):
        for share in (0.5, 0.95):
            inline, queued = (percentile([f[n] for f in seen[name]], share) for name in ("inline", "queued"))
            rows.append(
                (f"{what}, p{share * 100:.0f}", f"{inline:.1f}", f"{queued:.1f}", f"{queued - inline:+.1f}")
            )
    write_section(
        "cost",
        "## 3. What the queue costs\n\n"
        f"{_TURNS} turns each, one at a time and alternating, extractive provider; "
        "milliseconds from the request.\n\n" + table(("", "inline", "queued", "difference"), rows),
    )


def run() -> None:
    """Runs the drill."""
    asyncio.run(_drill())
