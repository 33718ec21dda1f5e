"""`smartstore index`: build, look at and roll back the FAQ index."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from api.settings import Settings
    from retrieval.index.rows import BuildInfo

app = typer.Typer(help="Build, look at and roll back the FAQ index.", no_args_is_help=True)
Faq = Annotated[
    Path | None,
    typer.Option("--faq", help=".pkl, .jsonl, .csv or .xlsx; the settings' one by default."),
]
Expansions = Annotated[
    Path | None, typer.Option(help="File or folder with other ways of asking; the settings' one by default.")
]


@app.command()
def build(faq: Faq = None, expansions: Expansions = None) -> None:
    """Build the index if it is missing or stale; a running server switches to it by itself."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    from api.commands.corpus import tell
    from api.indexing.build import build_from_settings
    from api.indexing.named import check_same_corpus, remember
    from api.settings import load_settings

    console = Console()
    settings = load_settings()
    if faq is None:
        check_same_corpus(settings)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        tasks: dict[str, TaskID] = {}

        def progress(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = bar.add_task(step, total=total)
            bar.update(tasks[step], completed=done, total=total)

        corpus, report = build_from_settings(settings, faq=faq, expansions=expansions, progress=progress)
    if remember(settings, faq, report.info.fingerprint):
        console.print(
            f"the settings name {settings.corpus.faq}; to serve this index: SMARTSTORE_CORPUS__FAQ={faq}",
            markup=False,
            soft_wrap=True,
        )
    tell(corpus)
    if report.unchanged:
        console.print(f"index is current: {report.info.faqs} FAQs, {report.info.fingerprint}")
        return
    took = ", ".join(f"{step} {seconds:.1f} s" for step, seconds in report.seconds.items())
    console.print(
        f"index built: {report.info.faqs} FAQs, {report.info.rows} rows, "
        f"{report.embedded} embedded, {report.reused} reused ({took})"
    )


@app.command()
def info() -> None:
    """Print what the current index was built from."""
    from api.settings import load_settings
    from retrieval.index.opening import index_info

    settings = load_settings()
    _print(index_info(settings.index_uri, token=_token(settings)), settings)


@app.command()
def rollback() -> None:
    """Put the build before the current one back; a second call undoes it."""
    from api.settings import load_settings
    from retrieval.index.build import rollback as put_back

    settings = load_settings()
    _print(put_back(settings.index_uri, token=_token(settings)), settings)


def _token(settings: Settings) -> str:
    return settings.index.token.get_secret_value()


def _print(build: BuildInfo, settings: Settings) -> None:
    from dataclasses import asdict

    typer.echo(f"uri: {settings.index_uri}")
    for name, value in asdict(build).items():
        typer.echo(f"{name}: {value}")


@app.command()
def vectors(
    out: Annotated[
        Path | None, typer.Option(help="Folder of the file; configs/expansions by default.")
    ] = None,
) -> None:
    """Keep the vectors of every text that the repository holds in the repository, 8 bits a number.

    A first build then embeds nothing but the titles and answers of its own FAQ. Run it after a change of
    the expansions or of the embedder.
    """
    from api.indexing.build import corpus_embedder
    from api.settings import CONFIGS, load_settings
    from retrieval.corpus.expansions import read_expansions
    from retrieval.corpus.faq import read_corpus
    from retrieval.embedders.remembered import RememberingEmbedder, base_of, file_name, write_vectors
    from retrieval.index.rows import view_texts

    sample = read_corpus(CONFIGS / "faq" / "sample.jsonl")
    asked = read_expansions(CONFIGS / "expansions")
    with corpus_embedder(load_settings()) as embedder:
        memory = base_of(embedder)
        if not isinstance(memory, RememberingEmbedder):
            raise typer.BadParameter(f"{embedder.name} makes more than dense vectors")
        passages = [view.embedded for view in view_texts(sample.faqs, {})]
        queries = [query for queries in asked.values() for query in queries]
        kept = memory.codes_of("passage", passages) | memory.codes_of("query", queries)
        path = (out or CONFIGS / "expansions") / file_name(memory)
        write_vectors(path, memory.name, kept)
    typer.echo(f"{len(kept)} vectors, {path.stat().st_size / 1e6:.1f} MB: {path}")
