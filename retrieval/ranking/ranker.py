"""Orders candidates and says how likely each answers the query, with trained weights; numpy only.

Knows leg scores through `features.py`; does not know indexes, embedders or how weights are trained.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval.corpus.faq import Faq
from retrieval.errors import RetrievalError
from retrieval.index.base import Candidate, IndexQuery, Leg
from retrieval.ranking.features import FEATURES, features, leg_matrix

RANKING = Path(__file__).resolve().parents[2] / "configs" / "ranking"
PORTABLE = "portable.json"


class RankerError(RetrievalError):
    """A file of ranker weights cannot be used."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A ranked FAQ; `score` in [0, 1] says how likely it answers the query."""

    faq: Faq
    score: float
    scores: Mapping[Leg, float]


@dataclass(frozen=True)
class Weights:
    """What training finds.

    Attributes:
        embedder: whose cosines the weights are for; empty for the portable ones.
        weights: by feature name; the score is their weighted sum.
        margin, level, bias: the probability is `sigmoid(margin * m + level * s + bias)` with s the
            score and m = s - log(sum of exp of the other candidates' scores). `margin` and `level`
            are not negative, so that probabilities keep the order of scores.
    """

    embedder: str
    weights: Mapping[str, float]
    margin: float
    level: float
    bias: float

    def save(self, path: Path, *, card: Mapping[str, object]) -> None:
        """Writes the weights with a card that says how they were found."""
        text = json.dumps({**asdict(self), "card": card}, ensure_ascii=False, indent=1)
        path.write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Weights:
        """Reads what `save` wrote. Raises `RankerError`."""
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
            weights = {name: float(raw["weights"][name]) for name in FEATURES}
            return cls(
                str(raw["embedder"]), weights, float(raw["margin"]), float(raw["level"]), float(raw["bias"])
            )
        except (OSError, ValueError, KeyError, TypeError) as exc:
            raise RankerError(f"{path}: no ranker weights ({exc!r}); run `smartstore train-ranker`") from exc


class Ranker:
    """A weighted sum of features with calibrated probabilities; thread-safe."""

    def __init__(self, weights: Weights) -> None:
        self._vector = np.array([weights.weights[name] for name in FEATURES])
        self.weights = weights

    @classmethod
    def load(cls, path: Path | None = None, *, embedder: str = "", folder: Path = RANKING) -> Ranker:
        """Opens a ranker.

        Args:
            path: a weights file.
            embedder: without a path, the embedder whose cosines are ranked: chooses the file in
                `folder` that was trained on it, else the portable weights.
            folder: where the files are.

        Raises:
            RankerError: the file is missing or damaged.
        """
        if path is not None:
            return cls(Weights.load(path))
        for file in sorted(folder.glob("*.json")):
            if file.name != PORTABLE and (found := Weights.load(file)).embedder == embedder:
                return cls(found)
        return cls(Weights.load(folder / PORTABLE))

    def rank(self, query: IndexQuery, candidates: Sequence[Candidate]) -> list[Hit]:
        """Returns the candidates best first; equal scores in the order of ids."""
        if not candidates:
            return []
        scores = self.scores(leg_matrix(candidates))
        probabilities = self.probabilities(scores)
        order = sorted(range(len(candidates)), key=lambda n: (-scores[n], candidates[n].faq.id))
        return [Hit(candidates[n].faq, float(probabilities[n]), candidates[n].scores) for n in order]

    def scores(self, legs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns `(n,)` unbounded scores of one query's `(n, 12)` scores and signs."""
        result: NDArray[np.float64] = features(legs, portable=not self.weights.embedder) @ self._vector
        return result

    def probabilities(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns `(n,)` probabilities of one query's scores."""
        w = self.weights
        logits = w.margin * margins(scores) + w.level * scores + w.bias
        result: NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(logits, -60, 60)))
        return result


def margins(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """By how much each score exceeds the soft maximum of the others, at most 30."""
    if len(scores) < 2:
        return np.full(len(scores), 30.0)
    powers = np.exp(scores - scores.max())
    others = powers.sum() - powers
    # Where one score dwarfs the rest the difference above has lost its digits.
    rest = np.log(np.maximum(others, 1e-12)) + scores.max()
    result: NDArray[np.float64] = np.minimum(scores - rest, 30.0)
    return result
