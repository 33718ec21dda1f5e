"""Orders candidates: turns the scores of all legs into one score per FAQ.

Knows leg scores; does not know indexes or embedders.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from retrieval.corpus import Faq
from retrieval.index.base import LEGS, Candidate, IndexQuery, Leg

_WEIGHTS: Mapping[Leg, float] = {
    "dense_question": 0.3,
    "dense_expansion": 0.3,
    "dense_answer": 0.1,
    "lexical_question": 0.12,
    "lexical_expansion": 0.12,
    "lexical_answer": 0.06,
}


@dataclass(frozen=True, slots=True)
class Hit:
    """A ranked FAQ; `score` in [0, 1] says how likely it answers the query."""

    faq: Faq
    score: float
    scores: Mapping[Leg, float]


class Ranker:
    """Weighted sum of the legs, each normalised over the candidates."""

    @classmethod
    def load(cls, path: Path | None = None) -> Ranker:
        """Opens the ranker."""
        return cls()

    def rank(self, query: IndexQuery, candidates: Sequence[Candidate]) -> list[Hit]:
        """Returns the candidates best first; equal scores in the order of ids."""
        top = {leg: max((c.scores[leg] for c in candidates), default=0.0) or 1.0 for leg in LEGS}
        low = {leg: min((c.scores[leg] for c in candidates), default=0.0) for leg in LEGS}
        hits = []
        for c in candidates:
            total = 0.0
            for leg, weight in _WEIGHTS.items():
                span = top[leg] - low[leg]
                total += weight * ((c.scores[leg] - low[leg]) / span if span > 0 else 0.0)
            hits.append(Hit(c.faq, min(1.0, max(0.0, total)), c.scores))
        return sorted(hits, key=lambda hit: (-hit.score, hit.faq.id))
