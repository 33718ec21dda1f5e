"""Turns the scores and signs of a query's candidates into the features a ranker weighs.

Knows what a score means (a cosine, or BM25 that has no upper bound); knows no weights.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from retrieval.index.base import LEGS, SIGNS, Candidate

# Chosen by cross-validation over FAQs: each of the other legs, word pairs, the mean or the best two of the
# expansions, vectors without the adapter added nothing that showed on questions in sellers' own words.
FEATURES = (
    "dense_answer",
    "dense_pool",
    "centre",
    "together",
    "covered_title",
    "covered",
    "unnamed",
    "specific",
)
_SHARPNESS = 20.0
_ANSWER_HANDICAP = 0.05
_SIGN = {name: len(LEGS) + n for n, name in enumerate(SIGNS)}


def leg_matrix(candidates: Sequence[Candidate]) -> NDArray[np.float64]:
    """Returns `(n, 12)`: the scores in the order of `LEGS`, then the signs in the order of `SIGNS`."""
    rows = [[*(c.scores[leg] for leg in LEGS), *(c.signs[sign] for sign in SIGNS)] for c in candidates]
    return np.array(rows, np.float64).reshape(len(candidates), len(LEGS) + len(SIGNS))


def features(legs: NDArray[np.float64], *, portable: bool = False) -> NDArray[np.float64]:
    """Returns `(n, len(FEATURES))` of one query's candidates.

    The lexical score is divided by the query's best, so that long queries do not count more. The soft
    maximum over views lets one matching view speak for a FAQ.

    Args:
        legs: `(n, 12)` from `leg_matrix`.
        portable: measure cosines by their spread over the candidates, for embedders that the
            weights were not trained on.
    """
    question, answer, expansion = legs[:, 0], legs[:, 1], legs[:, 2]
    centre, together = legs[:, _SIGN["centre"]], legs[:, _SIGN["together"]]
    # An index gives a view that a FAQ lacks the lowest score: its question speaks for it.
    expansion = np.where(expansion <= -1, question, expansion)
    answer = np.where(answer <= -1, question - _ANSWER_HANDICAP, answer)
    if portable:
        question, answer, expansion, centre = _spread(question, answer, expansion, centre)
    pooled = np.stack([question, expansion, answer - _ANSWER_HANDICAP])
    peak = pooled.max(axis=0)
    columns = {
        "dense_answer": answer,
        "dense_pool": peak + np.log(np.exp(_SHARPNESS * (pooled - peak)).sum(axis=0)) / _SHARPNESS,
        "centre": centre,
        "together": together / max(float(together.max(initial=0.0)), 1e-9),
        "covered_title": legs[:, _SIGN["covered_title"]],
        "covered": legs[:, _SIGN["covered"]],
        "unnamed": legs[:, _SIGN["unnamed"]],
        "specific": legs[:, _SIGN["specific"]],
    }
    return np.stack([columns[name] for name in FEATURES], axis=1)


def _spread(*cosines: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Cosines mapped so that the candidates' median is 0.3 and their best 0.8."""
    together = np.concatenate(cosines)
    middle, top = float(np.median(together)), float(together.max())
    scale = 0.5 / max(top - middle, 1e-6)
    return [0.3 + (values - middle) * scale for values in cosines]
