"""Ranks any texts for a question as the search ranks FAQs: the same legs, features and weights.

A text's first line is read as a question and the rest as its answer; one that has a single line is both.
Knows rows and the ranker; keeps nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from retrieval.corpus.faq import Faq
from retrieval.index.base import IndexQuery
from retrieval.index.bm25 import Bm25Statistics
from retrieval.index.memory import MemoryIndex
from retrieval.index.rows import IndexRows, view_texts
from retrieval.search import Searcher


def rank_texts(searcher: Searcher, query: str, texts: Sequence[str]) -> list[tuple[int, float]]:
    """Positions of `texts`, best first, each with the probability that it answers the query.

    Blocking. Term statistics are those of the index, where it has them in memory: in a handful of
    texts every word is rare.

    Raises:
        EmbedderError: the texts could not be embedded.
    """
    embedder, tokenizer = searcher.embedder, searcher.tokenizer
    faqs = [_as_faq(n, text) for n, text in enumerate(texts)]
    views = view_texts(faqs, {})
    vectors = embedder.embed_passages([view.embedded for view in views])
    rows = IndexRows.of(
        views,
        vectors=vectors,
        tokens=tuple(tokenizer.tokens(view.text) for view in views),
        faqs={faq.id: faq for faq in faqs},
    )
    statistics = _statistics(searcher, rows)
    index = MemoryIndex(rows, fingerprint="texts", statistics=statistics)
    asked = embedder.embed_queries([query])
    sparse = asked.sparse[0] if asked.sparse else None
    question = IndexQuery(query, asked.dense[0], tokenizer.tokens(query), sparse)
    candidates = index.candidates(question, limit=len(faqs))
    hits = [(int(hit.faq.id), hit.score) for hit in searcher.ranker.rank(question, candidates)]
    found = {n for n, _ in hits}
    return hits + [(n, 0.0) for n in range(len(texts)) if n not in found]


def _statistics(searcher: Searcher, rows: IndexRows) -> Bm25Statistics:
    kept = getattr(searcher.index, "statistics", None)
    return kept if isinstance(kept, Bm25Statistics) else Bm25Statistics.of(rows.tokens)


def _as_faq(n: int, text: str) -> Faq:
    title, _, rest = text.strip().partition("\n")
    return Faq(f"{n:06}", title, rest.strip() or title, (), (), title)
