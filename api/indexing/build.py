"""Builds the index that the settings describe: for the command and for jobs alike. Blocking."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from api.indexing.edited import edited_corpus
from api.settings import Settings
from retrieval.corpus.faq import Corpus
from retrieval.embedders.base import Embedder
from retrieval.embedders.factory import open_embedder
from retrieval.embedders.remembered import remembered
from retrieval.index.build import BuildReport, build_index
from retrieval.index.prepare import Progress
from retrieval.tokenizer import KoreanTokenizer


def embedder_of(settings: Settings) -> Embedder:
    """The embedder that the settings name. Raises `EmbedderError`."""
    chosen = settings.embedder
    return open_embedder(
        chosen.name,
        model=chosen.model,
        base_url=chosen.base_url,
        api_key=chosen.api_key.get_secret_value(),
        dim=chosen.dim,
        device=chosen.device,
    )


def corpus_embedder(settings: Settings) -> AbstractContextManager[Embedder]:
    """The same for work on a whole corpus: what was embedded before, or came along, is not embedded again."""
    return remembered(embedder_of(settings), settings.path(settings.data_dir) / "cache")


def build_from_settings(
    settings: Settings, *, progress: Progress, faq: Path | None = None, expansions: Path | None = None
) -> tuple[Corpus, BuildReport]:
    """Reads the corpus, with the edits of single FAQs over it, and builds its index.

    Args:
        settings: where everything is.
        progress: told how far each step is.
        faq: another FAQ file than the settings' one.
        expansions: another file or folder of expansions.

    Raises:
        CorpusError: a file cannot be used.
        HistoryUnavailable: the database of the edits is away.
        IndexUnavailable: Milvus failed.
    """
    corpus, known = edited_corpus(settings, faq=faq, expansions=expansions)
    with corpus_embedder(settings) as embedder:
        report = build_index(
            corpus,
            known,
            embedder,
            KoreanTokenizer(),
            settings.index_uri,
            progress=progress,
            token=settings.index.token.get_secret_value(),
        )
    return corpus, report
