"""Trains an `Adapter` from a FAQ and its expansions; numpy only, minutes on two cores.

A contrastive loss (InfoNCE, van den Oord et al. 2018) pulls each expansion to its FAQ's title, answer and
other expansions, away from other FAQs'. Knows vectors of views; knows no ranker and no evaluation set.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.embedders.adapter import Adapter, normalised

Floats = NDArray[np.float32]

STEPS, BATCH, RATE, TEMPERATURE, DECAY = 400, 512, 0.004, 0.05, 1e-3


@dataclass(frozen=True)
class ViewVectors:
    """Vectors of every view of `n` FAQs, by the base embedder, L2-normalised.

    Attributes:
        question, answer: `(n, dim)` float32, embedded as passages.
        expansions: `(k, n, dim)` float32, embedded as questions: the k-th way of asking for each FAQ.
    """

    question: Floats
    answer: Floats
    expansions: Floats

    def without(self, expansion: int) -> ViewVectors:
        """The same without one way of asking."""
        return ViewVectors(self.question, self.answer, np.delete(self.expansions, expansion, axis=0))


@dataclass(frozen=True)
class _Pair:
    """Two views of the same FAQs, row by row; `passage` tells which matrix the right side takes."""

    left: Floats
    right: Floats
    passage: bool


def train_adapter(views: ViewVectors, base: str, *, seed: int = 0) -> Adapter:
    """Trains on every pair of an expansion and another view.

    Args:
        views: of the FAQs to learn from.
        base: name of the embedder that made them.
        seed: of the order of batches.

    Raises:
        ValueError: there are no expansions.
    """
    pairs = [
        _Pair(asked, other, passage)
        for n, asked in enumerate(views.expansions)
        for other, passage in (
            (views.question, True),
            (views.answer, True),
            *((e, False) for m, e in enumerate(views.expansions) if m != n),
        )
    ]
    if not pairs:
        raise ValueError("an adapter is trained on expansions, and there are none")
    rng = np.random.default_rng(seed)
    size = views.question.shape[1]
    changes = [np.zeros((size, size), np.float32) for _ in range(2)]
    optimisers = [_Adam(change) for change in changes]
    for n in range(STEPS):
        pair = pairs[n % len(pairs)]
        batch = rng.choice(len(pair.left), min(BATCH, len(pair.left)), replace=False)
        right = int(pair.passage)
        of_left, of_right = _gradients(pair.left[batch], pair.right[batch], changes[0], changes[right])
        rate = RATE * (1 - n / STEPS)
        if pair.passage:
            optimisers[0].step(of_left + DECAY * changes[0], rate)
            optimisers[1].step(of_right + DECAY * changes[1], rate)
        else:
            optimisers[0].step(of_left + of_right + 2 * DECAY * changes[0], rate)
    identity = np.eye(size, dtype=np.float32)
    return Adapter(base, identity + changes[0], identity + changes[1])


def _gradients(left: Floats, right: Floats, by_left: Floats, by_right: Floats) -> tuple[Floats, Floats]:
    """Gradients of the symmetric InfoNCE loss by the matrices `I + by_left` and `I + by_right`."""
    raw_l, raw_r = left + left @ by_left.T, right + right @ by_right.T
    unit_l, unit_r = normalised(raw_l), normalised(raw_r)
    scores: Floats = unit_l @ unit_r.T / np.float32(TEMPERATURE)
    wrong: Floats = _softmax(scores, 1) + _softmax(scores, 0)
    wrong[np.diag_indices(len(left))] -= 2
    wrong /= np.float32(2 * len(left) * TEMPERATURE)
    to_left: Floats = wrong @ unit_r
    to_right: Floats = wrong.T @ unit_l
    of_left: Floats = _through_norm(to_left, unit_l, raw_l).T @ left
    of_right: Floats = _through_norm(to_right, unit_r, raw_r).T @ right
    return of_left, of_right


def _through_norm(gradient: Floats, unit: Floats, raw: Floats) -> Floats:
    along = (gradient * unit).sum(axis=1, keepdims=True)
    result: Floats = (gradient - unit * along) / np.linalg.norm(raw, axis=1, keepdims=True)
    return result


def _softmax(scores: Floats, axis: int) -> Floats:
    powers = np.exp(scores - scores.max(axis=axis, keepdims=True))
    result: Floats = powers / powers.sum(axis=axis, keepdims=True)
    return result


class _Adam:
    """Changes `weights` in place (Kingma and Ba 2015)."""

    def __init__(self, weights: Floats) -> None:
        self._weights = weights
        self._first, self._second = np.zeros_like(weights), np.zeros_like(weights)
        self._count = 0

    def step(self, gradient: Floats, rate: float) -> None:
        self._count += 1
        self._first = 0.9 * self._first + 0.1 * gradient
        self._second = 0.99 * self._second + 0.01 * gradient**2
        first = self._first / (1 - 0.9**self._count)
        second = self._second / (1 - 0.99**self._count)
        self._weights -= np.float32(rate) * first / (np.sqrt(second) + 1e-8)
