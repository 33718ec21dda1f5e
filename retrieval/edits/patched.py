"""A memory index with some FAQs taken out and some put in: made in milliseconds out of the one before.

Scores like an index built anew, but for the BM25 statistics, which stay those of the base until the next
build: a handful of FAQs among thousands moves them by less than the ranker can tell.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from retrieval.corpus.faq import Faq
from retrieval.index.base import IndexQuery, Leg, Sign
from retrieval.index.memory import MemoryIndex
from retrieval.index.rows import IndexRows

_ALIKE = 32


class PatchedIndex(MemoryIndex):
    """`base` without `removed`, with the FAQs of `rows`."""

    def __init__(
        self, base: MemoryIndex, removed: frozenset[str], rows: IndexRows, *, fingerprint: str
    ) -> None:
        """Does not copy the base; both stay searchable."""
        self.base, self.fingerprint = base, fingerprint
        self._statistics = base.statistics
        added = MemoryIndex(rows, fingerprint=fingerprint, statistics=base.statistics) if rows.faqs else None
        self._parts: list[tuple[MemoryIndex, NDArray[np.int64]]] = []
        faqs: list[Faq] = []
        for part, out in ((base, removed), (added, frozenset[str]())):
            if part is None:
                continue
            kept = [n for n, faq in enumerate(part.faqs()) if faq.id not in out]
            self._parts.append((part, np.array(kept, np.int64)))
            faqs += [part.faqs()[n] for n in kept]
        self._order = np.array(sorted(range(len(faqs)), key=lambda n: faqs[n].id), np.int64)
        self._list = [faqs[n] for n in self._order]
        self._faqs = {faq.id: faq for faq in self._list}
        self.offers = None
        if base.offers is not None:
            # What is put in may now be found first by titles like it: those are searched again, in a turn.
            titles = rows.dense[[view == "question" for view in rows.views]]
            self.offers = base.offers.without(removed, base.nearest_titles(titles, _ALIKE))

    def leg_scores(self, query: IndexQuery) -> dict[Leg, NDArray[np.float32]]:
        """Every leg's `(faqs,)` scores, FAQs in the order of their ids."""
        scores = [(part.leg_scores(query), kept) for part, kept in self._parts]
        return {leg: self._joined([legs[leg][kept] for legs, kept in scores]) for leg in scores[0][0]}

    def signs(self, query: IndexQuery) -> dict[Sign, NDArray[np.float32]]:
        """Every sign's `(faqs,)` values, FAQs in the order of their ids."""
        found = [(part.signs(query), kept) for part, kept in self._parts]
        return {sign: self._joined([signs[sign][kept] for signs, kept in found]) for sign in found[0][0]}

    def nearest_titles(self, vectors: NDArray[np.float32], limit: int) -> set[str]:
        """Ids of at least the `limit` FAQs whose titles are nearest to each of `(n, dim)` vectors."""
        near = (part.nearest_titles(vectors, limit) for part, _ in self._parts)
        return set().union(*near) & self._faqs.keys()

    def _joined(self, scores: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        joined: NDArray[np.float32] = np.concatenate(scores)[self._order]
        return joined
