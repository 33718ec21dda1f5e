"""Lexical scores: BM25 statistics and an inverted matrix of term weights.

Knows terms and counts; does not know FAQs, views or where they are stored. The formula is Milvus'
own (Robertson/Sparck Jones with the +1 that keeps the idf positive), so that both indexes rank alike:
https://milvus.io/docs/full-text-search.md
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

K1 = 1.2
B = 0.75

Term = TypeVar("Term", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Bm25Statistics:
    """What BM25 must know of the whole corpus to score one document.

    Attributes:
        documents: number of rows, those without a term included.
        average_length: mean number of terms per row.
        frequencies: in how many rows each term occurs.
    """

    documents: int
    average_length: float
    frequencies: Mapping[str, int]

    @classmethod
    def of(cls, documents: Sequence[Sequence[str]]) -> Bm25Statistics:
        """Counts the statistics of `documents`."""
        frequencies: Counter[str] = Counter()
        for terms in documents:
            frequencies.update(set(terms))
        length = sum(map(len, documents)) / len(documents) if documents else 0.0
        return cls(len(documents), length, frequencies)

    def weights(
        self, terms: Sequence[str], *, rows: int = 1, only: Collection[str] | None = None
    ) -> dict[str, float]:
        """Returns the BM25 weight of each term of one document, or of `rows` documents read as one.

        `only` names the terms that will be asked for.
        """
        norm = K1 * (1 - B + B * len(terms) / (rows * self.average_length or 1.0))
        counts = Counter(terms if only is None else (term for term in terms if term in only))
        return {t: self.idf(t) * count * (K1 + 1) / (count + norm) for t, count in counts.items()}

    def rarity(self, term: str) -> float:
        """The idf of `term` as a share of that of a term no row holds: 1 for an unknown term."""
        return self.idf(term) / self.idf("")

    def idf(self, term: str) -> float:
        """How rare a term is; always positive."""
        frequency = self.frequencies.get(term, 0)
        return log(1 + (self.documents - frequency + 0.5) / (frequency + 0.5))

    def to_json(self) -> str:
        """The statistics as JSON."""
        return json.dumps([self.documents, self.average_length, dict(self.frequencies)], ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Bm25Statistics:
        """The inverse of `to_json`."""
        return cls(*json.loads(text))


class Postings(Generic[Term]):
    """Term weights of many documents, by term: scores all of them at once."""

    def __init__(self, documents: Iterable[Mapping[Term, float]]) -> None:
        ids: dict[Term, int] = {}
        terms: list[int] = []
        rows: list[int] = []
        weights: list[float] = []
        count = 0
        for row, document in enumerate(documents):
            count = row + 1
            for term, weight in document.items():
                terms.append(ids.setdefault(term, len(ids)))
                rows.append(row)
                weights.append(weight)
        order = np.argsort(np.asarray(terms, np.int64), kind="stable")
        self._rows = np.asarray(rows, np.int64)[order]
        self._weights = np.asarray(weights, np.float32)[order]
        ends = np.bincount(np.asarray(terms, np.int64), minlength=len(ids)).cumsum()
        self._slices = {term: (int(ends[i - 1]) if i else 0, int(ends[i])) for term, i in ids.items()}
        self._count = count

    def scores(self, query: Mapping[Term, float]) -> NDArray[np.float32]:
        """Returns `(documents,)` float32 inner products with `query`; 0 where no term matches."""
        scores = np.zeros(self._count, np.float32)
        for term, weight in query.items():
            if term in self._slices:
                start, end = self._slices[term]
                scores[self._rows[start:end]] += self._weights[start:end] * np.float32(weight)
        return scores
