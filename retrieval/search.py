"""Hybrid search: a question in, ranked FAQs with their partial scores out.

Knows the order of the steps (embed and tokenise, search, rank); does not know how an index stores,
how a ranker weighs, nor what is done with the hits. Blocking: call it off the event loop.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from retrieval.embedders.base import Embedder, Embeddings
from retrieval.index.base import FaqIndex, IndexQuery
from retrieval.ranking.base import Reranker, rerank
from retrieval.ranking.ranker import Hit, Ranker
from retrieval.tokenizer import KoreanTokenizer

DEPTH = 50
_MOST_READ = 1000
_BATCH = 64
_NO_LETTERS = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes:
        query: the question as searched.
        hits: best first.
        dense: `(dim,)` float32, the question's vector.
        tokens: the question's morphemes.
        timings_ms: milliseconds of `embed` (vector and tokens), `search`, `rank`.
        fingerprint: of the index that was searched.
        plain: the question's vector before an adapter, None where there is none.
        rarity: of each token, see `FaqIndex.rarity`.
    """

    query: str
    hits: tuple[Hit, ...]
    dense: NDArray[np.float32]
    tokens: tuple[str, ...]
    timings_ms: Mapping[str, float]
    fingerprint: str = ""
    plain: NDArray[np.float32] | None = None
    rarity: Mapping[str, float] = field(default_factory=dict)

    @property
    def meaning(self) -> NDArray[np.float32]:
        """The question's vector as the base embedder gives it, before any adapter."""
        return self.dense if self.plain is None else self.plain


class Searcher:
    """Searches one index with the embedder it was built with; thread-safe."""

    def __init__(
        self,
        index: FaqIndex,
        embedder: Embedder,
        tokenizer: KoreanTokenizer,
        ranker: Ranker,
        *,
        reranker: Reranker | None = None,
    ) -> None:
        """`reranker` reads the ranker's first hits once more; None leaves them."""
        self.index, self.embedder, self.tokenizer, self.ranker = index, embedder, tokenizer, ranker
        self._reranker = reranker

    def over(self, index: FaqIndex) -> Searcher:
        """The same search over another index."""
        return Searcher(index, self.embedder, self.tokenizer, self.ranker, reranker=self._reranker)

    @property
    def reranked_by(self) -> str:
        """Name of the reranker, empty where there is none."""
        return self._reranker.name if self._reranker else ""

    def search(self, text: str, *, limit: int = 10) -> SearchResult:
        """Finds the best `limit` FAQs for a question.

        Raises:
            EmbedderError: the question could not be embedded.
            IndexUnavailable: the index does not answer.
        """
        started = perf_counter()
        # What an embedder would not read is not tokenised either.
        embedded = self.embedder.embed_queries([text[:_MOST_READ]])
        return self._found(text, embedded, 0, limit=limit, started=started)

    def search_all(self, texts: Sequence[str], *, limit: int) -> Iterator[SearchResult]:
        """Searches many questions, embedded in batches; raises as `search` does."""
        for start in range(0, len(texts), _BATCH):
            batch = texts[start : start + _BATCH]
            embedded = self.embedder.embed_queries([text[:_MOST_READ] for text in batch])
            for n, text in enumerate(batch):
                yield self._found(text, embedded, n, limit=limit, started=perf_counter())

    def _found(self, text: str, embedded: Embeddings, n: int, *, limit: int, started: float) -> SearchResult:
        """What the `n`-th of some embedded questions finds."""
        index = self.index  # one snapshot for the whole search, even if it is exchanged meanwhile
        sparse = embedded.sparse[n] if embedded.sparse else None
        query = IndexQuery(text, embedded.dense[n], self.tokenizer.tokens(text[:_MOST_READ]), sparse)
        ready = perf_counter()
        candidates = index.candidates(query, limit=max(limit, DEPTH))
        found = perf_counter()
        ranked = _title_first(text, self.ranker.rank(query, candidates))[:limit]
        if self._reranker:
            ranked = _title_first(text, rerank(self._reranker, text, ranked))
        ended = perf_counter()
        timings = {
            "embed": (ready - started) * 1e3,
            "search": (found - ready) * 1e3,
            "rank": (ended - found) * 1e3,
        }
        hits, plain = tuple(ranked), None if embedded.plain is None else embedded.plain[n]
        rarity = index.rarity(query.tokens)
        return SearchResult(text, hits, query.dense, query.tokens, timings, index.fingerprint, plain, rarity)


@lru_cache(maxsize=1 << 13)  # the titles of the last hits, above all
def letters(text: str) -> str:
    """The text without spaces, punctuation and case: equal for two ways of typing one title."""
    return _NO_LETTERS.sub("", text).lower()


def _title_first(text: str, hits: Sequence[Hit]) -> list[Hit]:
    """Puts the FAQ first whose title is asked: a follow-up or choice that is taken finds what it offered."""
    asked = letters(text)
    return sorted(hits, key=lambda hit: letters(hit.faq.question) != asked)
