"""`smartstore corpus` cleans and converts FAQ files; `smartstore expand` has a model write ways of asking."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from api.expansion.file import ExpansionFile
    from api.expansion.writing import ExpansionReport
    from api.settings import Settings
    from retrieval.corpus.faq import Corpus, Faq

app = typer.Typer(help="Clean a crawl and convert FAQ files.", no_args_is_help=True)
Source = Annotated[Path, typer.Argument(help="FAQ file (.pkl, .jsonl, .csv, .xlsx).")]
Target = Annotated[Path, typer.Argument(help="Where to write it (.jsonl, or .csv for Excel).")]


@app.command()
def clean(source: Source, target: Target) -> None:
    """Take the help site's frame off every answer, break its run-on lines, and write what is left."""
    _rewrite(source, target, clean=True)


@app.command()
def convert(source: Source, target: Target) -> None:
    """Write a FAQ file in another format; the answers stay as they are, those of a .pkl are cleaned."""
    _rewrite(source, target, clean=None)


def _rewrite(source: Path, target: Path, *, clean: bool | None) -> None:
    from retrieval.corpus.copies import write_corpus
    from retrieval.corpus.faq import read_corpus

    corpus = read_corpus(source, clean=clean)
    write_corpus(corpus, target)
    tell(corpus)
    typer.echo(f"{len(corpus.faqs)} FAQs written to {target}")


def tell(corpus: Corpus) -> None:
    """Says what of a file is not served."""
    for duplicate in corpus.duplicates:
        typer.echo(f"duplicate question: {duplicate}")
    if corpus.ignored:
        typer.echo(f"columns left out, whose names mean nothing here: {', '.join(corpus.ignored)}")


def expand(
    provider: Annotated[str, typer.Option("--provider", "-p", help="who writes, by name; needs a model")],
    out: Annotated[Path, typer.Option(help="file to append to; FAQs that it holds are left out")],
    faq: Annotated[Path | None, typer.Option("--faq", help="FAQ file; the settings' one by default")] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=256, help="requests at the same time")] = 8,
    limit: Annotated[int | None, typer.Option(min=1, help="so many FAQs at most, to try it")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="do not ask before it costs money")] = False,
) -> None:
    """Write two other ways of asking per FAQ: one natural, one short. Run it again to go on.

    They are searched with the FAQ and never shown: put the file into configs/expansions, or name it to
    `smartstore index build --expansions`.
    """
    import asyncio

    from rich.console import Console

    from api.expansion.file import ExpansionFile
    from api.indexing.corpus import corpus_of
    from api.observability.logs import configure_logs
    from api.settings import LogSettings, load_settings

    configure_logs(LogSettings(level="error", format="console"))
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    settings = load_settings()
    _check_provider(settings, provider)
    corpus = corpus_of(settings, faq)
    with ExpansionFile(out) as file:
        known = len(file.done & set(corpus.by_id))
        todo = [one for one in corpus.faqs if one.id not in file.done][:limit]
        console.print(
            f"{len(corpus.faqs)} FAQs, {known} of them in {out}, {len(todo)} to write", markup=False
        )
        if not todo:
            return
        _show_estimate(console, settings, provider, todo)
        if not yes:
            typer.confirm("go on?", abort=True, err=True)
        try:
            report = asyncio.run(_write(settings, provider, todo, file, concurrency=concurrency))
        except KeyboardInterrupt:
            console.print("stopped; run the same command again to go on", style="yellow")
            raise typer.Exit(130) from None
    _show_report(console, report)
    if not report.written:
        raise typer.Exit(1)


def _check_provider(settings: Settings, name: str) -> None:
    """Raises `CommandError` for a provider that has no model, `UnknownProvider` for one that is not there."""
    from api.errors import CommandError, UnknownProvider

    endpoints = settings.providers.endpoints
    if name not in settings.providers.names:
        raise UnknownProvider(name, endpoints)
    if name not in endpoints:
        writers = ", ".join(endpoints) or "none yet, see providers.endpoints in configs/app.yaml"
        raise CommandError(
            f"provider '{name}' cannot write: it has no model and only quotes the FAQ; with one: {writers}"
        )


def _show_estimate(console: Console, settings: Settings, name: str, todo: Sequence[Faq]) -> None:
    from api.expansion.writing import estimate, load_expansion_instructions
    from api.providers.openai.chunks import Price

    endpoint = settings.providers.endpoints[name]
    price = Price(endpoint.usd_per_million_input, endpoint.usd_per_million_output)
    usage = estimate(todo, load_expansion_instructions(), price)
    if usage.cost_usd:
        cost = f"about {usage.cost_usd:.2f} USD"
    elif endpoint.third_party:
        cost = f"price unknown: set providers.endpoints.{name}.usd_per_million_input and _output"
    else:
        cost = "no price per token"
    console.print(
        f"estimate for {name} ({endpoint.model}): {usage.prompt_tokens:,} tokens in, "
        f"{usage.completion_tokens:,} out, {cost}",
        markup=False,
    )


async def _write(
    settings: Settings, name: str, todo: Sequence[Faq], file: ExpansionFile, *, concurrency: int
) -> ExpansionReport:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from api.expansion.writing import write_expansions
    from api.providers.factory import open_providers
    from retrieval.tokenizer import KoreanTokenizer

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    async with open_providers(settings, KoreanTokenizer()) as providers:
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task("expand", total=len(todo))
            return await write_expansions(
                todo,
                providers.get(name),
                lambda one, queries: file.add(one.id, queries),
                concurrency=concurrency,
                progress=lambda: bar.advance(task),
            )


def _show_report(console: Console, report: ExpansionReport) -> None:
    usage = report.usage
    about = "about " if usage.estimated else ""
    console.print(
        f"{report.written} written, {len(report.skipped)} skipped; {about}{usage.prompt_tokens:,} tokens in, "
        f"{usage.completion_tokens:,} out, {usage.cost_usd:.4f} USD"
    )
    for faq, reason in report.skipped:
        console.print(f"  skipped {faq.id} {faq.question}: {reason}", style="yellow", markup=False)
    if report.skipped:
        console.print("run the same command again to try the skipped ones once more")
