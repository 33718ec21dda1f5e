"""The index seam: which FAQs could answer a query, with the score of every leg.

Knows the views of a FAQ that are searched; does not fuse, rank or judge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from retrieval.corpus.faq import Faq
from retrieval.offers.known import Offers

View = Literal["question", "answer", "expansion"]
VIEWS: tuple[View, ...] = ("question", "answer", "expansion")

Leg = Literal[
    "dense_question", "dense_answer", "dense_expansion",
    "lexical_question", "lexical_answer", "lexical_expansion",
]  # fmt: skip
LEGS: tuple[Leg, ...] = (
    "dense_question", "dense_answer", "dense_expansion",
    "lexical_question", "lexical_answer", "lexical_expansion",
)  # fmt: skip

Sign = Literal["together", "centre", "covered_title", "covered", "unnamed", "specific"]
SIGNS: tuple[Sign, ...] = ("together", "centre", "covered_title", "covered", "unnamed", "specific")


@dataclass(frozen=True, slots=True)
class IndexQuery:
    """A question as the index needs it.

    Attributes:
        text: the question itself.
        dense: `(dim,)` float32, L2-normalised.
        tokens: Korean morphemes for BM25.
        sparse: learned lexical weights (token id to weight), used instead of BM25
            where the embedder has them.
    """

    text: str
    dense: NDArray[np.float32]
    tokens: tuple[str, ...]
    sparse: Mapping[int, float] | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A FAQ found by at least one leg, with the scores of all legs.

    Dense scores are cosines in [-1, 1]; lexical scores are BM25 (or sparse inner
    product), 0 where no term matches. A FAQ's score in a leg is the maximum over
    its rows of that view.

    Signs read the FAQ as a whole: `together` is the lexical score of all its rows as one text, `centre` the
    cosine with the mean of their vectors, `covered_title` and `covered` the share of the query's terms that
    its title, or any of its rows, holds (rare terms count more), `unnamed` the share of its programme's
    terms (the brackets before its title) that the query does not name, 0 where it has no programme,
    `specific` how much its title says whatever the query: the root of the sum of its terms' rarity.
    """

    faq: Faq
    scores: Mapping[Leg, float]
    signs: Mapping[Sign, float] = field(default_factory=dict)


class FaqIndex(Protocol):
    """Finds candidate FAQs; blocking, thread-safe.

    `offers` is what the build knows of its titles; None where it has not looked them up (yet).
    """

    fingerprint: str
    offers: Offers | None

    def candidates(self, query: IndexQuery, *, limit: int) -> list[Candidate]:
        """The union of each leg's best `limit` FAQs. Raises `IndexUnavailable`."""
        ...

    def get(self, faq_ids: Sequence[str]) -> dict[str, Faq]:
        """The FAQs with these ids; unknown ids are left out. Raises `IndexUnavailable`."""
        ...

    def rarity(self, terms: Sequence[str]) -> dict[str, float]:
        """How rare each term is in the corpus: near 0 where most rows hold it, 1 where none does."""
        ...

    def close(self) -> None:
        """Releases connections and files."""
        ...
