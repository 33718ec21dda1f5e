"""A FAQ index in this process's memory: exact dense search and BM25, read-only.

Scores every row of every view; does not know where the rows came from, nor how scores are fused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from retrieval.corpus.faq import Faq
from retrieval.errors import IndexMismatch
from retrieval.index.base import LEGS, SIGNS, VIEWS, Candidate, IndexQuery, Leg, Sign, View
from retrieval.index.bm25 import Bm25Statistics, Postings
from retrieval.index.rows import IndexRows
from retrieval.index.signs import SignReader, blocks, blockwise
from retrieval.offers.known import Offers

_VIEWS_OF: dict[View, tuple[Leg, Leg]] = {
    "question": ("dense_question", "lexical_question"),
    "answer": ("dense_answer", "lexical_answer"),
    "expansion": ("dense_expansion", "lexical_expansion"),
}
assert get_args(View) == VIEWS
_LOWEST = np.float32(-1.0)


class MemoryIndex:
    """Searches a snapshot of an index; thread-safe because nothing changes after construction."""

    def __init__(
        self,
        rows: IndexRows,
        *,
        fingerprint: str,
        statistics: Bm25Statistics | None = None,
        only: Collection[str] | None = None,
    ) -> None:
        """Arranges the rows for search.

        Args:
            rows: of one build, in any order.
            fingerprint: of the build.
            statistics: of the whole corpus, where `rows` is only a part of it.
            only: the terms of the one query that is to be scored; None for any query.
        """
        self.fingerprint = fingerprint
        self.offers: Offers | None = None
        self._faqs = dict(sorted(rows.faqs.items()))
        self._list = list(self._faqs.values())
        position = {id: n for n, id in enumerate(self._faqs)}
        codes = [VIEWS.index(view) for view in rows.views]
        order = sorted(range(len(codes)), key=lambda r: (codes[r], position[rows.faq_ids[r]]))
        self._dim = rows.dense.shape[1]
        self._blocks = blocks(rows.dense[order])
        self._statistics = statistics or Bm25Statistics.of(rows.tokens)
        self._terms = Postings(self._statistics.weights(rows.tokens[r], only=only) for r in order)
        self._sparse = None if rows.sparse is None else Postings(rows.sparse[r] for r in order)
        owners = np.array([position[rows.faq_ids[r]] for r in order], np.int64)
        views = np.array([codes[r] for r in order], np.int64)
        self._spans = {view: _Span(owners, views == n, len(self._list)) for n, view in enumerate(VIEWS)}
        self._signs = SignReader(rows, self._list, self._statistics, only=only)

    def __len__(self) -> int:
        return len(self._list)

    @property
    def statistics(self) -> Bm25Statistics:
        """BM25 statistics of the corpus."""
        return self._statistics

    def candidates(self, query: IndexQuery, *, limit: int) -> list[Candidate]:
        """The union of each leg's best `limit` FAQs, in the order of their ids.

        Ties go to the smaller id. A lexical leg offers only FAQs that share a term with the query.
        """
        legs = self.leg_scores(query)
        signs = self.signs(query)
        chosen = set(_best(signs["together"], limit, np.float32(0.0)))
        for leg, scores in legs.items():
            floor = _LOWEST if leg.startswith("dense") else np.float32(0.0)
            chosen.update(_best(scores, limit, floor))
        order = sorted(chosen)
        table = np.stack([legs[leg][order] for leg in LEGS], axis=1).tolist()
        shown = np.stack([signs[sign][order] for sign in SIGNS], axis=1).tolist()
        return [
            Candidate(self._list[n], dict(zip(LEGS, row, strict=True)), dict(zip(SIGNS, more, strict=True)))
            for n, row, more in zip(order, table, shown, strict=True)
        ]

    def leg_scores(self, query: IndexQuery) -> dict[Leg, NDArray[np.float32]]:
        """Every leg's `(faqs,)` scores, FAQs in the order of their ids.

        A FAQ without a row in a view (no expansions, say) gets that leg's lowest score.

        Raises:
            IndexMismatch: the query's vector has another size than the index's.
        """
        if query.dense.shape != (self._dim,):
            found, expected = f"{self._dim} dimensions", f"{query.dense.size} dimensions"
            raise IndexMismatch(self.fingerprint, expected=expected, found=found)
        dense = blockwise(self._blocks, query.dense)
        if self._sparse is not None and query.sparse is not None:
            lexical = self._sparse.scores(query.sparse)
        else:
            lexical = self._terms.scores({t: float(n) for t, n in Counter(query.tokens).items()})
        legs: dict[Leg, NDArray[np.float32]] = {}
        for view, span in self._spans.items():
            dense_leg, lexical_leg = _VIEWS_OF[view]
            legs[dense_leg] = span.best(dense, _LOWEST)
            legs[lexical_leg] = span.best(lexical, np.float32(0.0))
        return legs

    def signs(self, query: IndexQuery) -> dict[Sign, NDArray[np.float32]]:
        """Every sign's `(faqs,)` values, FAQs in the order of their ids."""
        return self._signs.read(query)

    def nearest_titles(self, vectors: NDArray[np.float32], limit: int) -> set[str]:
        """Ids of the `limit` FAQs whose titles mean most nearly what each of `(n, dim)` vectors does."""
        near: set[str] = set()
        for vector in vectors:
            titles = self._spans["question"].best(blockwise(self._blocks, vector), _LOWEST)
            near.update(self._list[n].id for n in _best(titles, limit, _LOWEST))
        return near

    def faqs(self) -> Sequence[Faq]:
        """Every FAQ, in the order of ids (the order of `leg_scores`)."""
        return self._list

    def get(self, faq_ids: Sequence[str]) -> dict[str, Faq]:
        """The FAQs with these ids; unknown ids are left out."""
        return {id: self._faqs[id] for id in faq_ids if id in self._faqs}

    def rarity(self, terms: Sequence[str]) -> dict[str, float]:
        """How rare each term is: near 0 where most rows hold it, 1 where none does."""
        return {term: self._statistics.rarity(term) for term in terms}

    def close(self) -> None:
        """Nothing to release."""


class _Span:
    """The rows of one view, and which FAQ each belongs to."""

    def __init__(self, owners: NDArray[np.int64], mask: NDArray[np.bool_], faqs: int) -> None:
        where = np.flatnonzero(mask)
        self._slice = slice(int(where[0]), int(where[-1]) + 1) if len(where) else slice(0, 0)
        self._faqs, self._starts = np.unique(owners[self._slice], return_index=True)
        self._count = faqs

    def best(self, scores: NDArray[np.float32], lowest: np.float32) -> NDArray[np.float32]:
        best = np.full(self._count, lowest, np.float32)
        if len(self._starts):
            best[self._faqs] = np.maximum.reduceat(scores[self._slice], self._starts)
        return best


def _best(scores: NDArray[np.float32], limit: int, floor: np.float32) -> list[int]:
    """Positions of the `limit` highest scores above `floor`; on a tie the smaller position."""
    if limit < len(scores):
        threshold = np.partition(scores, len(scores) - limit)[len(scores) - limit]
        pool = np.flatnonzero(scores >= max(threshold, floor))
    else:
        pool = np.arange(len(scores))
    pool = pool[scores[pool] > floor]
    order = np.argsort(-scores[pool], kind="stable")[:limit]
    return [int(n) for n in pool[order]]
