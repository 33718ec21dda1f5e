"""`smartstore bench`: how long a seller waits, per step."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def bench(
    cases: Annotated[
        Path | None, typer.Option(help="JSONL with a `query` a line; the corpus' expansions by default")
    ] = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="how many different questions")] = 50,
    provider: Annotated[str | None, typer.Option("--provider", "-p", help="who answers")] = None,
    url: Annotated[str, typer.Option(help="a running server; by default the settings' one if it runs")] = "",
    key: Annotated[str, typer.Option(help="API key of that server")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Ask different questions one after another, warm, and print the milliseconds of each step."""
    import asyncio
    import json

    from rich.console import Console
    from rich.table import Table

    from api.client.chat_clients import open_chat
    from api.client.latency import measure, questions_of, summarise
    from api.observability.logs import configure_logs
    from api.settings import LogSettings, load_settings

    settings = load_settings()
    configure_logs(LogSettings(level="error", format="console"))
    questions = questions_of(cases or settings.path(settings.corpus.expansions), count)

    async def run() -> dict[str, list[float]]:
        async with open_chat(settings, url=url, key=key) as client:
            return await measure(client, questions, provider=provider)

    steps = summarise(asyncio.run(run()))
    if as_json:
        typer.echo(json.dumps({"questions": len(questions), "steps_ms": steps}, indent=2))
        return
    table = Table("step (ms)", "p50", "p95", "max", box=None)
    for step, values in steps.items():
        table.add_row(step, *(f"{values[name]:.1f}" for name in ("p50", "p95", "max")))
    Console().print(table)
    typer.echo(f"{len(questions)} different questions, one after another, after one to warm up")
