"""Trains an `Adapter` from a FAQ and its expansions; numpy only, minutes on two cores.

Terms: latent semantic analysis (Deerwester et al. 1990) of one bag of terms per FAQ over all its views.
Matrix: a contrastive loss (InfoNCE, van den Oord et al. 2018) pulls each expansion to its FAQ's question,
answer and other expansions, away from other FAQs'. Knows no ranker, no evaluation set.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import NDArray

from retrieval.embedders.adapter import Adapter, TermSpace, normalised

Floats = NDArray[np.float32]
Terms = Sequence[Sequence[str]]

LATENT = 128
TERM_WEIGHT = 0.35
_MIN_FAQS_PER_TERM = 3
_SAMPLE = 6000
_STEPS, _BATCH, _RATE, _TEMPERATURE, _DECAY = 240, 1024, 0.004, 0.05, 1e-3


@dataclass(frozen=True)
class ViewData:
    """Vectors and terms of every view of `n` FAQs.

    Attributes:
        question, answer: `(n, dim)` float32, L2-normalised, by the base embedder.
        expansions: `(k, n, dim)` float32: the k-th way of asking for each FAQ.
        question_terms, answer_terms: terms per FAQ.
        expansion_terms: terms per FAQ, for each k.
    """

    question: Floats
    answer: Floats
    expansions: Floats
    question_terms: Terms
    answer_terms: Terms
    expansion_terms: Sequence[Terms]

    def __len__(self) -> int:
        return len(self.question)


def train_adapter(
    data: ViewData, base: str, *, faqs: NDArray[np.int64] | None = None, seed: int = 0
) -> Adapter:
    """Trains on the FAQs numbered `faqs` (all by default).

    Args:
        data: every view, by the base embedder.
        base: that embedder's name.
        faqs: positions of the FAQs to learn from; the others stay unseen.
        seed: of the order of batches.
    """
    chosen = np.arange(len(data)) if faqs is None else faqs
    terms = latent_terms(data, chosen, seed=seed)
    size = data.question.shape[1] + terms.vectors.shape[1]
    plain = Adapter(base, terms, TERM_WEIGHT, np.eye(size, dtype=np.float32))
    question = plain.join(data.question[chosen], [data.question_terms[i] for i in chosen])
    answer = plain.join(data.answer[chosen], [data.answer_terms[i] for i in chosen])
    expansions = [
        plain.join(vectors[chosen], [terms_of[i] for i in chosen])
        for vectors, terms_of in zip(data.expansions, data.expansion_terms, strict=True)
    ]
    pairs = [
        (asked, other)
        for n, asked in enumerate(expansions)
        for other in (question, answer, *(e for m, e in enumerate(expansions) if m != n))
    ]
    matrix = _contrast(pairs or [(question, answer)], seed=seed)
    return Adapter(base, terms, TERM_WEIGHT, matrix)


def latent_terms(data: ViewData, faqs: NDArray[np.int64], *, seed: int = 0) -> TermSpace:
    """Latent vectors of the terms that occur in at least three of these FAQs."""
    rng = np.random.default_rng(seed)
    if len(faqs) > _SAMPLE:
        faqs = np.sort(rng.choice(faqs, _SAMPLE, replace=False))
    frequencies = Counter[str]()
    for i in faqs:
        frequencies.update({t for terms in _views(data, int(i)) for t in terms})
    least = min(_MIN_FAQS_PER_TERM, max(1, len(faqs) // 10))
    known = sorted(t for t, n in frequencies.items() if n >= least)
    rows = {term: n for n, term in enumerate(known)}
    idf = np.array([log(len(faqs) / frequencies[t]) + 1e-3 for t in known], np.float32)
    bags = np.zeros((len(faqs), len(known)), np.float32)
    for n, i in enumerate(faqs):
        for terms, weight in zip(_views(data, int(i)), _view_weights(data), strict=True):
            bag = np.zeros(len(known), np.float32)
            for term, count in Counter(t for t in terms if t in rows).items():
                bag[rows[term]] = (1 + log(count)) * idf[rows[term]]
            bags[n] += weight * bag / max(float(np.linalg.norm(bag)), 1e-9)
    vectors, values = _principal(bags, LATENT, rng)
    # Weighting by idf again makes a text's vector the projection of its tf-idf bag.
    scaled = vectors * np.sqrt(values / values[0])[None, :] * idf[:, None]
    return TermSpace(rows, scaled.astype(np.float32))


def _views(data: ViewData, i: int) -> list[Sequence[str]]:
    return [data.question_terms[i], data.answer_terms[i], *(terms[i] for terms in data.expansion_terms)]


def _view_weights(data: ViewData) -> list[float]:
    return [1.0, 0.5, *(1.0 for _ in data.expansion_terms)]


def _principal(bags: Floats, count: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """The right singular vectors `(columns, count)` with their values, by subspace iteration."""
    count = min(count, *bags.shape)
    basis = rng.standard_normal((bags.shape[1], min(count + 16, bags.shape[1]))).astype(np.float32)
    for _ in range(6):
        basis, _ = np.linalg.qr(bags.T @ (bags @ basis))
    _, values, right = np.linalg.svd(bags @ basis, full_matrices=False)
    return (basis @ right[:count].T).astype(np.float32), values[:count].astype(np.float32)


def _contrast(pairs: Sequence[tuple[Floats, Floats]], *, seed: int) -> Floats:
    """Minimises the loss over batches of FAQs; returns the matrix, near the identity."""
    rng = np.random.default_rng(seed)
    size = pairs[0][0].shape[1]
    change = np.zeros((size, size), np.float32)
    step = _adam(change)
    for n in range(_STEPS):
        left, right = pairs[n % len(pairs)]
        batch = rng.choice(len(left), min(_BATCH, len(left)), replace=False)
        gradient = _gradient(left[batch], right[batch], change)
        step(gradient + 2 * _DECAY * change, _RATE * (1 - n / _STEPS))
    return np.eye(size, dtype=np.float32) + change


def _gradient(left: Floats, right: Floats, change: Floats) -> Floats:
    """Gradient of the symmetric InfoNCE loss by the matrix `I + change`, applied to both sides."""
    raw_l, raw_r = left + left @ change.T, right + right @ change.T
    unit_l, unit_r = normalised(raw_l), normalised(raw_r)
    scores = unit_l @ unit_r.T / np.float32(_TEMPERATURE)
    wrong: Floats = _softmax(scores, 1) + _softmax(scores, 0)
    wrong[np.diag_indices(len(left))] -= 2
    wrong /= np.float32(2 * len(left) * _TEMPERATURE)
    to_left: Floats = wrong @ unit_r
    to_right: Floats = wrong.T @ unit_l
    result: Floats = (
        _through_norm(to_left, unit_l, raw_l).T @ left + _through_norm(to_right, unit_r, raw_r).T @ right
    )
    return result


def _through_norm(gradient: Floats, unit: Floats, raw: Floats) -> Floats:
    along = (gradient * unit).sum(axis=1, keepdims=True)
    result: Floats = (gradient - unit * along) / np.linalg.norm(raw, axis=1, keepdims=True)
    return result


def _softmax(scores: Floats, axis: int) -> Floats:
    powers = np.exp(scores - scores.max(axis=axis, keepdims=True))
    result: Floats = powers / powers.sum(axis=axis, keepdims=True)
    return result


def _adam(weights: Floats) -> Callable[[Floats, float], None]:
    """Returns a function that moves `weights` in place (Kingma and Ba 2015)."""
    first, second = np.zeros_like(weights), np.zeros_like(weights)
    count = 0

    def step(gradient: Floats, rate: float) -> None:
        nonlocal count
        count += 1
        first[:] = 0.9 * first + 0.1 * gradient
        second[:] = 0.99 * second + 0.01 * gradient**2
        corrected = second / (1 - 0.99**count)
        weights[:] -= np.float32(rate) * first / (1 - 0.9**count) / (np.sqrt(corrected) + 1e-8)

    return step
