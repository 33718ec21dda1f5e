"""`smartstore history` and `smartstore gaps`: the lasting log at the command line."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(help="The lasting log of turns.", no_args_is_help=True)


@app.command("upgrade")
def upgrade_() -> None:
    """Bring the history's database to the newest schema; a server does so when it starts."""
    from api.history.database import open_database, upgrade
    from api.history.opening import history_url
    from api.settings import load_settings

    url = history_url(load_settings())

    async def run() -> None:
        async with open_database(url) as engine:
            await upgrade(engine)
            typer.echo(f"upgraded: {engine.url.render_as_string(hide_password=True)}")

    asyncio.run(run())


@app.command()
def export(
    out: Annotated[Path, typer.Option(help="a .jsonl or .csv file; -: the screen")] = Path("-"),
    verdict: Annotated[str, typer.Option(help="answered, unsure, not_found… or failed")] = "",
    rating: Annotated[str, typer.Option(help="up, down, none or any")] = "",
    text: Annotated[str, typer.Option(help="part of the question or the answer")] = "",
    days: Annotated[float, typer.Option(min=0, help="only the last so many days; 0: all")] = 0.0,
) -> None:
    """Write turns with their feedback; personal data is masked, formulas of spreadsheets defused."""
    import time

    from api.history.edits import Edits
    from api.history.export import corrected, csv_lines, jsonl_lines
    from api.history.store import History, TurnFilter

    since_ms = int((time.time() - days * 86_400) * 1000) if days else 0
    chosen = TurnFilter(verdict=verdict, rating=rating, text=text, since_ms=since_ms)
    lines = csv_lines if out.suffix == ".csv" else jsonl_lines

    async def run(history: History) -> int:
        count = 0
        rows = corrected(history.every(chosen), await Edits(history.engine).corrections())
        with out.open("w", encoding="utf-8", newline="") if str(out) != "-" else _Screen() as file:
            async for line in lines(rows):
                file.write(line)
                count += 1
        return count

    count = _with_history(run)
    if str(out) != "-":
        typer.echo(f"{count - (out.suffix == '.csv')} turns written to {out}")


def import_cases(
    out: Annotated[Path, typer.Option(help="where to write the cases (.jsonl)")],
    days: Annotated[float, typer.Option(min=0, help="only the last so many days; 0: all")] = 0.0,
) -> None:
    """Make evaluation cases out of thumbs up and of FAQs that were written because of a question.

    Measure them with `smartstore eval retrieval`; personal data is masked.
    """
    import json
    import time

    from api.history.cases import retrieval_cases
    from api.history.edits import Edits
    from api.history.export import corrected
    from api.history.store import History, TurnFilter

    since_ms = int((time.time() - days * 86_400) * 1000) if days else 0

    async def run(history: History) -> list[str]:
        rows = history.every(TurnFilter(since_ms=since_ms))
        cases = retrieval_cases(corrected(rows, await Edits(history.engine).corrections()))
        return [json.dumps(case, ensure_ascii=False) + "\n" async for case in cases]

    lines = _with_history(run)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("".join(lines), encoding="utf-8")
    typer.echo(f"{len(lines)} cases written to {out}")


def gaps(
    days: Annotated[float, typer.Option(min=0.01, help="how far to look back")] = 7.0,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=200, help="how many groups")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON with examples")] = False,
) -> None:
    """List the questions that were not settled, grouped by meaning, with what would mend each group."""
    from rich.console import Console
    from rich.table import Table

    from api.indexing.opening import open_searcher
    from api.insights.gaps import gap_report
    from api.settings import load_settings

    searcher = open_searcher(load_settings())
    report = _with_history(lambda history: gap_report(history, searcher, days=days, limit=limit))
    if as_json:
        typer.echo(report.model_dump_json(indent=2))
        return
    table = Table("asked", "trend", "question", "proposal", "nearest FAQ", box=None)
    for gap in report.gaps:
        near = gap.nearest[0].question if gap.nearest else ""
        trend = f"{gap.earlier}→{gap.later}"
        table.add_row(str(gap.size), trend, gap.title, gap.proposal, near)
    Console().print(table)
    typer.echo(f"{report.unsettled} of {report.turns} turns were not settled")


class _Screen:
    """Standard output as a file that is not closed."""

    def __enter__(self) -> Any:
        import sys

        return sys.stdout

    def __exit__(self, *_: object) -> None:
        """Leaves it open."""


def _with_history(action: Callable[[Any], Awaitable[Any]]) -> Any:
    """Carries out `action` on the settings' history."""
    from api.errors import CommandError
    from api.history.opening import open_history
    from api.observability.logs import configure_logs
    from api.settings import LogSettings, load_settings

    settings = load_settings()
    configure_logs(LogSettings(level="error", format="console"))

    async def run() -> Any:
        async with open_history(settings) as history:
            if history is None:
                raise CommandError("the settings turn the history off (history.enabled)")
            return await action(history)

    return asyncio.run(run())
