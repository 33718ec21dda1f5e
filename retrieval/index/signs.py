"""Signs that read a FAQ as a whole: all its rows as one text, one vector, one set of words.

Knows rows and their statistics; does not know the legs, nor how signs are weighed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.corpus.faq import Faq
from retrieval.embedders.adapter import normalised
from retrieval.index.base import IndexQuery, Sign, View
from retrieval.index.bm25 import Bm25Statistics, Postings
from retrieval.index.rows import IndexRows

Floats = NDArray[np.float32]
_BLOCK = 16
# An answer tells more than its question asks: with a full share it draws the centre away from the topic.
_CENTRE_SHARE = {"question": 1.0, "answer": 0.5, "expansion": 1.0}
_PROGRAMME = re.compile(r"[★\s]*((?:\[[^\]]*\]\s*)+)")


class SignReader:
    """Reads the signs of every FAQ of some rows at once; thread-safe because nothing changes."""

    def __init__(
        self,
        rows: IndexRows,
        faqs: Sequence[Faq],
        statistics: Bm25Statistics,
        *,
        only: Collection[str] | None = None,
    ) -> None:
        """Prepares the rows; `faqs` gives the order of what is read, `only` the terms of the one query."""
        position = {faq.id: n for n, faq in enumerate(faqs)}
        members: list[list[int]] = [[] for _ in faqs]
        for row, id in enumerate(rows.faq_ids):
            members[position[id]].append(row)
        titles = [[row for row in of if rows.views[row] == "question"] for of in members]
        self._statistics, self._sparse = statistics, rows.sparse is not None
        self._together: Postings[Any] = Postings(_together(rows, members, statistics, only))
        self._centres = blocks(centres(rows.views, rows.dense, members))
        self._all = Postings(_present(rows, members, statistics, only))
        title_terms = list(_present(rows, titles, statistics))
        self._titles = Postings(title_terms)
        self._specific = np.sqrt(np.array([sum(one.values()) for one in title_terms], np.float32))
        programmes = [
            _programme_terms(faq.question, [rows.tokens[row] for row in of])
            for faq, of in zip(faqs, titles, strict=True)
        ]
        self._programmes = Postings({term: statistics.idf(term) for term in one} for one in programmes)
        self._programme_totals = np.array([sum(map(statistics.idf, one)) for one in programmes], np.float32)

    def read(self, query: IndexQuery) -> dict[Sign, Floats]:
        """Each sign's `(faqs,)` float32 values."""
        counts = {term: float(n) for term, n in Counter(query.tokens).items()}
        # A word that no FAQ holds, often a typing error, says nothing about any of them.
        asked = {term: 1.0 for term in counts if term in self._statistics.frequencies}
        total = np.float32(max(sum(map(self._statistics.idf, asked)), 1e-6))
        learned = query.sparse if self._sparse else None
        named = self._programmes.scores(asked) / np.maximum(self._programme_totals, np.float32(1e-6))
        return {
            "together": self._together.scores(counts if learned is None else learned),
            "centre": blockwise(self._centres, query.dense)[: len(self._programme_totals)],
            "covered_title": self._titles.scores(asked) / total,
            "covered": self._all.scores(asked) / total,
            "unnamed": np.where(self._programme_totals > 0, 1 - named, np.float32(0)),
            "specific": self._specific,
        }


def blocks(dense: Floats) -> Floats:
    """Returns `(blocks, _BLOCK, dim)` float32: the rows, filled up with zeros.

    OpenBLAS spreads one large product over threads that then wait for each other on busy cores (15 ms
    instead of 0.8 ms for 10,868 rows); products this small stay on the calling thread.
    """
    count = -(-len(dense) // _BLOCK)
    padded = np.zeros((count * _BLOCK, dense.shape[1]), np.float32)
    padded[: len(dense)] = dense
    return padded.reshape(count, _BLOCK, dense.shape[1])


def blockwise(rows: Floats, vector: Floats) -> Floats:
    """The product of every row of `blocks` with a vector, those of the filling included."""
    result: Floats = (rows @ vector.astype(np.float32)).reshape(-1)
    return result


def _together(
    rows: IndexRows,
    members: Sequence[Sequence[int]],
    statistics: Bm25Statistics,
    only: Collection[str] | None,
) -> Iterator[Mapping[Any, float]]:
    """Term weights of each FAQ's rows read as one text, where learned weights take the greatest."""
    for of in members:
        if rows.sparse is None:
            terms = [term for row in of for term in rows.tokens[row]]
            yield statistics.weights(terms, rows=len(of), only=only)
        else:
            learned: dict[int, float] = {}
            for token, weight in (item for row in of for item in rows.sparse[row].items()):
                learned[token] = max(weight, learned.get(token, 0.0))
            yield learned


def centres(views: Sequence[View], dense: Floats, members: Sequence[Sequence[int]]) -> Floats:
    """`(faqs, dim)`: the weighted mean of each FAQ's vectors, L2-normalised."""
    shares = np.array([_CENTRE_SHARE[view] for view in views], np.float32)
    sums = np.zeros((len(members), dense.shape[1]), np.float32)
    for n, of in enumerate(members):
        sums[n] = shares[of] @ dense[of]
    return normalised(sums)


def _present(
    rows: IndexRows,
    members: Sequence[Sequence[int]],
    statistics: Bm25Statistics,
    only: Collection[str] | None = None,
) -> Iterator[Mapping[str, float]]:
    """The terms of each group of rows, each with its idf."""
    for of in members:
        terms = {term for row in of for term in rows.tokens[row] if only is None or term in only}
        yield {term: statistics.idf(term) for term in terms}


def _programme_terms(title: str, tokens: Sequence[Sequence[str]]) -> set[str]:
    """The terms of a title that stand in the brackets before it: `[쇼핑라이브 숏클립] 댓글을 …`."""
    match = _PROGRAMME.match(title)
    bracketed = match.group(1).lower() if match else ""
    return {term for terms in tokens for term in terms if term in bracketed}
