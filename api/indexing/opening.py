"""Opens the search that the settings describe: embedder, index, ranker and reranker."""

from __future__ import annotations

from api.indexing.build import corpus_embedder, embedder_of, reranker_of
from api.indexing.edited import expected_corpus
from api.settings import Settings
from retrieval.errors import IndexMismatch, IndexMissing
from retrieval.first.index import first_index
from retrieval.index.base import FaqIndex
from retrieval.index.opening import open_index
from retrieval.index.rows import fingerprint
from retrieval.ranking.ranker import Ranker
from retrieval.search import Searcher
from retrieval.tokenizer import KoreanTokenizer


def open_searcher(settings: Settings, *, of_corpus: bool = False, first: bool = False) -> Searcher:
    """Opens the search; blocking, some seconds for the models.

    Args:
        settings: where everything is.
        of_corpus: the index must be of the settings' corpus, as where questions of sellers are answered.
        first: answer from the words of that corpus where there is no such index yet.

    Raises:
        IndexMissing, IndexMismatch: the message names the command that mends it.
        CorpusError: the corpus cannot be read.
    """
    embedder = embedder_of(settings)
    tokenizer = KoreanTokenizer()
    served, expected = expected_corpus(settings) if of_corpus else None, None
    if served is not None:
        names = {"embedder": embedder.name, "tokenizer": tokenizer.version}
        expected = fingerprint(served[0].faqs, served[1], **names)
    index: FaqIndex
    try:
        index = open_index(
            settings.index_uri,
            token=settings.index.token.get_secret_value(),
            embedder=embedder.name,
            tokenizer=tokenizer.version,
            fingerprint=expected,
            snapshot_max_faqs=settings.index.snapshot_max_faqs,
        )
    except (IndexMissing, IndexMismatch):
        if not first or served is None or expected is None:
            raise
        with corpus_embedder(settings, embedder) as remembering:
            index = first_index(*served, remembering, tokenizer, fingerprint=expected)
    ranker = Ranker.load(embedder=embedder.name)
    return Searcher(index, embedder, tokenizer, ranker, reranker=reranker_of(settings.reranker))
