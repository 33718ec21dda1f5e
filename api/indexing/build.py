"""Builds the index that the settings describe: for the command and for jobs alike. Blocking."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from api.indexing.edited import edited_corpus
from api.settings import RerankerSettings, Settings
from retrieval.corpus.faq import Corpus
from retrieval.embedders.base import Embedder
from retrieval.embedders.factory import open_embedder
from retrieval.embedders.remembered import remembered
from retrieval.index.build import BuildReport, build_index
from retrieval.index.opening import note_offers, open_index
from retrieval.index.prepare import Progress
from retrieval.offers.find import find_offers, offers_version
from retrieval.ranking.base import Reranker
from retrieval.ranking.factory import open_reranker
from retrieval.ranking.ranker import Ranker
from retrieval.scope.classifier import ScopeClassifier
from retrieval.search import Searcher
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


def corpus_embedder(settings: Settings, embedder: Embedder | None = None) -> AbstractContextManager[Embedder]:
    """The same for work on a whole corpus: what was embedded before, or came along, is not embedded again."""
    return remembered(embedder or embedder_of(settings), settings.path(settings.data_dir) / "cache")


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
        _look_up_titles(settings, corpus, report, embedder, progress)
    return corpus, report


def _look_up_titles(
    settings: Settings, corpus: Corpus, report: BuildReport, embedder: Embedder, progress: Progress
) -> None:
    """Stores with the build what its titles find, unless that is known.

    After the build is in service: until then follow-ups are searched in each turn. Above the snapshot's size
    they always are, as a search for each of a million titles would take hours.
    """
    info, token = report.info, settings.index.token.get_secret_value()
    if info.base or info.faqs > settings.index.snapshot_max_faqs:
        return
    tokenizer = KoreanTokenizer()
    index = open_index(settings.index_uri, token=token, embedder=info.embedder, tokenizer=info.tokenizer)
    ranker = Ranker.load(embedder=info.embedder)
    searcher = Searcher(index, embedder, tokenizer, ranker, reranker=reranker_of(settings.reranker))
    scope = ScopeClassifier.load()
    if index.offers is None or index.offers.version != offers_version(searcher, scope):
        offers = find_offers(searcher, scope, corpus.faqs, partial(progress, "titles"))
        note_offers(settings.index_uri, info, offers, token=token)


def reranker_of(chosen: RerankerSettings) -> Reranker | None:
    """The reranker that the settings name, if they name one. Raises `EmbedderError`."""
    return open_reranker(
        chosen.name,
        model=chosen.model,
        base_url=chosen.base_url,
        api_key=chosen.api_key.get_secret_value(),
        device=chosen.device,
        depth=chosen.depth,
    )
