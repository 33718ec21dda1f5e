"""Opens the FAQ and its expansions that the settings name: the one place where a command or server does."""

from __future__ import annotations

from pathlib import Path

from api.settings import Settings
from retrieval.corpus.copies import read_clean
from retrieval.corpus.expansions import read_expansions
from retrieval.corpus.faq import Corpus


def corpus_of(settings: Settings, faq: Path | None = None) -> Corpus:
    """Reads the settings' FAQ file, or another; a crawl is cleaned once, into the data folder.

    Raises:
        CorpusError: the file cannot be used.
    """
    folder = settings.path(settings.data_dir) / "corpus"
    return read_clean(faq or settings.path(settings.corpus.faq), folder)


def open_corpus(
    settings: Settings, faq: Path | None = None, expansions: Path | None = None
) -> tuple[Corpus, dict[str, tuple[str, ...]]]:
    """Reads the FAQ and the other ways of asking, by FAQ id.

    Args:
        settings: where everything is.
        faq: another FAQ file than the settings' one.
        expansions: another file or folder of expansions.

    Raises:
        CorpusError: a file cannot be used.
    """
    known = read_expansions(expansions or settings.path(settings.corpus.expansions))
    return corpus_of(settings, faq), known
