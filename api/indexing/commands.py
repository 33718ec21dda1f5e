"""`smartstore corpus export` and `sync`: the FAQ as it is in service, out and compared with its source."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

if TYPE_CHECKING:
    from api.indexing.sync import Difference
    from api.settings import Settings
    from retrieval.corpus.faq import Corpus

_MAX_BYTES = 64 * 1024 * 1024


def export(
    target: Annotated[Path, typer.Argument(help="a .jsonl, .csv or .xlsx file")],
) -> None:
    """Write the FAQ as it is in service: the settings' file with the edits of single FAQs over it."""
    from api.indexing.edited import edited_corpus
    from api.settings import load_settings
    from retrieval.corpus.copies import write_corpus
    from retrieval.edits.workbook import write_workbook

    corpus, _ = edited_corpus(load_settings())
    if target.suffix.lower() == ".xlsx":
        write_workbook(corpus, target)
    else:
        write_corpus(corpus, target)
    typer.echo(f"{len(corpus.faqs)} FAQs written to {target}")


def sync(
    source: Annotated[str, typer.Option("--from", help="a FAQ file, or its http(s) address")],
    publish: Annotated[bool, typer.Option("--publish", help="put the difference into service")] = False,
) -> None:
    """Compare the FAQ in service with its source, read again: what is new, changed and gone.

    With --publish the difference goes into service as edits, which the audit trail keeps and which can
    be undone; a running server follows. FAQs that a person has edited are left as they are.
    """
    from api.settings import load_settings

    settings = load_settings()
    with tempfile.TemporaryDirectory() as folder:
        corpus = _read(source, Path(folder))
        found = asyncio.run(_sync(settings, corpus, publish=publish))
    for name, entries in (("new", found.new), ("changed", found.changed), ("gone", found.gone)):
        for entry in entries.values():
            typer.echo(f"{name}: {entry.question}")
    for id in found.kept:
        typer.echo(f"differs, but was edited here and stays: {id}")
    told = (
        f"{len(found.new)} new, {len(found.changed)} changed, {len(found.gone)} gone, {len(found.kept)} kept"
    )
    typer.echo(f"{told}{'; published' if publish and found.entries else ''}")


async def _sync(settings: Settings, corpus: Corpus, *, publish: bool) -> Difference:
    from api.errors import CommandError
    from api.history.edits import Edits
    from api.history.opening import open_history
    from api.indexing.curation import Curation
    from api.indexing.edited import file_corpus
    from api.indexing.opening import open_searcher
    from api.indexing.sync import BY, difference
    from api.observability.logs import configure_logs
    from api.settings import LogSettings
    from api.state.opening import open_settings_state
    from retrieval.edits.overlay import merged

    configure_logs(LogSettings(level="error", format="console"))
    async with open_history(settings) as history:
        if history is None:
            raise CommandError("edits are kept in the history, which the settings turn off (history.enabled)")
        edits = Edits(history.engine)
        served = await asyncio.to_thread(file_corpus, settings)
        live, _ = merged(*served, await edits.overlay())
        found = difference(corpus, live, await edits.editors())
        if publish and found.entries:
            async with open_settings_state(settings) as state:
                searcher = await asyncio.to_thread(open_searcher, settings)
                await Curation(settings, searcher, edits, state).publish(found.entries, by=BY)
        return found


def _read(source: str, folder: Path) -> Corpus:
    """The FAQs of a file or an address. Raises `CorpusError`."""
    import httpx

    from retrieval.corpus.faq import read_corpus
    from retrieval.errors import CorpusError

    if not source.startswith(("http://", "https://")):
        return read_corpus(Path(source))
    target = folder / (Path(urlsplit(source).path).name or "faq.jsonl")
    try:
        with httpx.stream("GET", source, follow_redirects=True, timeout=30) as response:
            response.raise_for_status()
            size = 0
            with target.open("wb") as file:
                for part in response.iter_bytes():
                    size += len(part)
                    if size > _MAX_BYTES:
                        raise CorpusError(
                            Path(source), f"is larger than {_MAX_BYTES:,} bytes.", hint="Split it."
                        )
                    file.write(part)
    except httpx.HTTPError as exc:
        raise CorpusError(Path(source), f"cannot be fetched ({exc}).", hint="Check the address.") from exc
    return read_corpus(target)
