"""Turns the leg scores of a query's candidates into the features a ranker weighs.

Knows what a leg's score means (a cosine, or BM25 that has no upper bound); knows no weights.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from retrieval.index.base import LEGS, Candidate

FEATURES = (*LEGS, "dense_best", "dense_pool", "lexical_best", "together")
_SHARPNESS = 20.0
_ANSWER_HANDICAP = 0.05


def leg_matrix(candidates: Sequence[Candidate]) -> NDArray[np.float64]:
    """Returns `(n, 7)`: the leg scores in the order of `LEGS`, then `together`."""
    rows = [[*(one.scores[leg] for leg in LEGS), one.together] for one in candidates]
    return np.array(rows, np.float64).reshape(len(candidates), len(LEGS) + 1)


def features(legs: NDArray[np.float64], *, portable: bool = False) -> NDArray[np.float64]:
    """Returns `(n, len(FEATURES))` of one query's candidates.

    Lexical scores are divided by the query's best, so that long queries do not count more. The best and
    the soft maximum over views let one matching view speak for a FAQ.

    Args:
        legs: `(n, 7)` from `leg_matrix`.
        portable: measure cosines by their spread over the candidates, for embedders that the
            weights were not trained on.
    """
    question, answer, expansion = legs[:, 0], legs[:, 1], legs[:, 2]
    # An index gives a view that a FAQ lacks the lowest score: its question speaks for it.
    expansion = np.where(expansion <= -1, question, expansion)
    answer = np.where(answer <= -1, question - _ANSWER_HANDICAP, answer)
    if portable:
        question, answer, expansion = _spread(question, answer, expansion)
    lexical = legs[:, 3:6]
    unit = max(float(lexical.max(initial=0.0)), 1e-9)
    relative = lexical / unit
    pooled = np.stack([question, expansion, answer - _ANSWER_HANDICAP])
    peak = pooled.max(axis=0)
    pool = peak + np.log(np.exp(_SHARPNESS * (pooled - peak)).sum(axis=0)) / _SHARPNESS
    columns = [
        question,
        answer,
        expansion,
        *relative.T,
        np.maximum(question, expansion),
        pool,
        np.maximum(relative[:, 0], relative[:, 2]),
        legs[:, 6] / max(float(legs[:, 6].max(initial=0.0)), 1e-9),
    ]
    return np.stack(columns, axis=1)


def _spread(*cosines: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Cosines mapped so that the candidates' median is 0.3 and their best 0.8."""
    together = np.concatenate(cosines)
    middle, top = float(np.median(together)), float(together.max())
    scale = 0.5 / max(top - middle, 1e-6)
    return [0.3 + (values - middle) * scale for values in cosines]
