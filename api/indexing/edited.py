"""The corpus that is served: the settings' file with the operator's edits over it. Blocking.

Knows files and the overlay; not how either becomes an index.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog

from api.errors import HistoryUnavailable
from api.history.database import open_database, upgrade
from api.history.edits import Edits, nothing_kept
from api.history.opening import history_url
from api.indexing.corpus import open_corpus
from api.settings import Settings
from retrieval.corpus.faq import Corpus
from retrieval.edits.overlay import Entry, merged

log = structlog.get_logger(__name__)
Served = tuple[Corpus, Mapping[str, Sequence[str]]]
# The files read last, by their paths, times and sizes: a crawl takes seconds to read.
_files: dict[object, Served] = {}


def file_corpus(settings: Settings, *, faq: Path | None = None, expansions: Path | None = None) -> Served:
    """The files alone; read again only when they have changed.

    Raises:
        CorpusError: a file cannot be used.
    """
    faq = faq or settings.path(settings.corpus.faq)
    expansions = expansions or settings.path(settings.corpus.expansions)
    files = [faq, *(sorted(expansions.glob("*.jsonl")) if expansions.is_dir() else [expansions])]
    stamps = tuple((path.stat().st_mtime_ns, path.stat().st_size) if path.is_file() else () for path in files)
    key = (faq, expansions, stamps)
    if key not in _files:
        _files.clear()
        _files[key] = open_corpus(settings, faq, expansions)
    return _files[key]


def edited_corpus(settings: Settings, *, faq: Path | None = None, expansions: Path | None = None) -> Served:
    """The files with the edits over them.

    Raises:
        CorpusError: a file cannot be used.
        HistoryUnavailable: the database of the edits is away.
    """
    return merged(*file_corpus(settings, faq=faq, expansions=expansions), read_overlay(settings))


def read_overlay(settings: Settings) -> dict[str, Entry | None]:
    """The edits, out of the history's database; must not be called on a running event loop's thread.

    Raises:
        HistoryUnavailable: it is away.
    """
    url = history_url(settings)
    if not settings.history.enabled or nothing_kept(url):
        return {}

    async def read() -> dict[str, Entry | None]:
        async with open_database(url) as engine:
            await upgrade(engine)
            return await Edits(engine).overlay()

    return asyncio.run(read())


def expected_corpus(settings: Settings) -> Served | None:
    """What the index must be of; None, with a warning, while the database of the edits is away."""
    try:
        return edited_corpus(settings)
    except HistoryUnavailable as exc:
        log.warning("index_not_compared", reason="the history's database is away", error=str(exc))
        return None
