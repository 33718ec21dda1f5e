"""`smartstore bench`: how long a seller waits, per step."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from api.client.bench_page import BenchPage
    from api.settings import Settings


def bench(
    cases: Annotated[
        Path | None, typer.Option(help="JSONL with a `query` a line; the corpus' expansions by default")
    ] = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="how many different questions")] = 50,
    provider: Annotated[str | None, typer.Option("--provider", "-p", help="who answers")] = None,
    url: Annotated[str, typer.Option(help="a running server; by default the settings' one if it runs")] = "",
    key: Annotated[str, typer.Option(help="API key of that server")] = "",
    save: Annotated[Path | None, typer.Option(help="keep the figures in this file")] = None,
    against: Annotated[Path | None, typer.Option(help="compare with a file that --save wrote")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Ask different questions one after another, warm, and print one page: start, first text, CPU, memory.

    CPU, start and memory are told where this process answers, that is where no server runs.
    """
    import asyncio
    import json

    from api.client.bench_page import BenchPage
    from api.client.latency import questions_of, summarise
    from api.observability.logs import configure_logs
    from api.settings import LogSettings, load_settings

    settings = load_settings()
    configure_logs(LogSettings(level="error", format="console"))
    questions = questions_of(cases or settings.path(settings.corpus.expansions), count)
    before = BenchPage.load(against) if against else None
    times, page = asyncio.run(_measured(settings, questions, provider, url=url, key=key))
    steps = summarise(times)
    if save:
        page.save(save)
    if as_json:
        told = {"questions": len(questions), "steps_ms": steps, "figures": page.figures}
        typer.echo(json.dumps(told | {"machine": page.machine}, indent=2))
        return
    _print(steps, page, before)
    typer.echo(f"{len(questions)} different questions, one after another, after one to warm up")


async def _measured(
    settings: Settings, questions: list[str], provider: str | None, *, url: str, key: str
) -> tuple[dict[str, list[float]], BenchPage]:
    from api.client.bench_page import bench_page
    from api.client.chat_clients import LocalChat, open_chat
    from api.client.latency import measure

    clocks = time.perf_counter(), time.process_time()
    async with open_chat(settings, url=url, key=key) as client:
        cpu, start = dict[str, list[float]](), dict[str, float]()
        local = isinstance(client, LocalChat)
        if local:
            start["start (s)"] = round(time.perf_counter() - clocks[0], 2)
            start["start, CPU (s)"] = round(time.process_time() - clocks[1], 2)
        times = await measure(client, questions, provider=provider, cpu=cpu if local else None)
        return times, bench_page(times, cpu, start)


def _print(steps: Mapping[str, Mapping[str, float]], page: BenchPage, before: BenchPage | None) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table("step (ms)", "p50", "p95", "max", box=None)
    for step, values in steps.items():
        table.add_row(step, *(f"{values[name]:.1f}" for name in ("p50", "p95", "max")))
    console.print(table)
    table = Table("figure", "now", *(["before", "ratio"] if before else []), box=None)
    for row in page.rows(before):
        table.add_row(*row)
    console.print(table)
    typer.echo(f"now: {page.machine}")
    if before:
        typer.echo(f"before: {before.machine}")
