"""Opens the search that finds what a prompt holds besides the gold: the run-time search itself.

Knows an index on disk or builds one in memory; does not know what examples are made of the hits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from finetune.config import Data
from retrieval.corpus.faq import Corpus
from retrieval.embedders.factory import open_embedder
from retrieval.index.rows import IndexRows, fingerprint, view_texts
from retrieval.ranking.ranker import Ranker
from retrieval.search import Searcher
from retrieval.tokenizer import KoreanTokenizer


def open_search(
    data: Data,
    corpus: Corpus,
    expansions: Mapping[str, Sequence[str]],
    *,
    progress: Callable[[str, int, int], None],
) -> Searcher:
    """Opens `data.index`, or indexes the corpus in memory.

    Raises:
        IndexMissing, IndexMismatch: `data.index` cannot be used.
        EmbedderError: the embedder cannot be loaded.
    """
    from retrieval.index.memory import MemoryIndex

    embedder, tokenizer = open_embedder(data.embedder), KoreanTokenizer()
    if data.index:
        from retrieval.index.opening import open_index

        built = fingerprint(corpus.faqs, expansions, embedder=embedder.name, tokenizer=tokenizer.version)
        index = open_index(data.index, embedder=embedder.name, tokenizer=tokenizer.version, fingerprint=built)
        return Searcher(index, embedder, tokenizer, Ranker.load(embedder=embedder.name))
    from retrieval.index.prepare import Known, prepare

    views = view_texts(corpus.faqs, expansions)
    prepared = prepare(views, embedder, tokenizer, Known(), progress)
    rows = IndexRows.of(views, vectors=prepared.vectors, tokens=prepared.tokens, faqs=corpus.by_id)
    name = fingerprint(corpus.faqs, expansions, embedder=embedder.name, tokenizer=tokenizer.version)
    ranker = Ranker.load(embedder=embedder.name)
    return Searcher(MemoryIndex(rows, fingerprint=name), embedder, tokenizer, ranker)
