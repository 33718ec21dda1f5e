"""Fits the ranker's weights and probabilities; numpy only.

Weights: a listwise softmax loss (ListNet, Cao et al. 2007) over each query's candidates, by Newton's method.
Probabilities: a logistic regression on margin and level (Platt 1999), where every tenth query is also asked
of a corpus that lacks its FAQ. Knows queries as leg scores; does not know texts or embedders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.ranking.features import FEATURES, features
from retrieval.ranking.ranker import Ranker, Weights, margins
from retrieval.training.data import RankedQuery
from retrieval.training.metrics import mrr, recall_at

Array = NDArray[np.float64]
_DECAY = 2e-3
_MOST_STEPS, _CONVERGED = 50, 1e-9
_RIVALS = 40
# What labelled questions count in the loss beside the corpus' own, few as they are: by 5-fold
# cross-validation 0.3 gave less, and 0.8 no more (docs/quality.md).
LABELLED_SHARE = 0.5
_CALIBRATED = 1
_UNANSWERABLE = 10


def fit_ranker(
    queries: Sequence[RankedQuery],
    *,
    embedder: str,
    calibration: Sequence[RankedQuery] | None = None,
    labelled: Sequence[RankedQuery] = (),
) -> Weights:
    """Fits weights to `queries` and probabilities to `calibration` (the same queries by default).

    Args:
        queries: those without a relevant candidate are passed over for the weights.
        embedder: whose cosines they are; empty to fit portable weights.
        calibration: queries like those that users ask.
        labelled: questions of users, which make up `LABELLED_SHARE` of the loss of the weights.

    Raises:
        ValueError: no query has a relevant candidate.
    """
    vector = _listwise(queries, labelled, portable=not embedder)
    weights = Weights(embedder, dict(zip(FEATURES, map(float, vector), strict=True)), 1.0, 0.0, 0.0)
    margin, level, bias = _calibrate(Ranker(weights), calibration or queries)
    return Weights(embedder, weights.weights, margin, level, bias)


def recalibrated(weights: Weights, queries: Sequence[RankedQuery]) -> Weights:
    """The same weights with probabilities fitted to `queries`: the order of hits does not change."""
    margin, level, bias = _calibrate(Ranker(weights), queries)
    return Weights(weights.embedder, weights.weights, margin, level, bias)


def cross_validated_error(weights: Weights, queries: Sequence[RankedQuery], *, folds: int = 5) -> float:
    """The calibration error on `queries` where each is judged by a fit to the other folds."""
    order = np.random.default_rng(0).permutation(len(queries))
    stated: list[float] = []
    right: list[bool] = []
    for part in np.array_split(order, folds):
        held = set(part.tolist())
        ranker = Ranker(recalibrated(weights, [q for n, q in enumerate(queries) if n not in held]))
        for n in held:
            probability, correct = _stated(ranker, queries[n])
            stated.append(probability)
            right.append(correct)
    return _expected_error(stated, right)


def cross_validated_figures(
    queries: Sequence[RankedQuery], labelled: Sequence[RankedQuery], *, embedder: str, folds: int = 5
) -> dict[str, float]:
    """Recall and mean reciprocal rank of `labelled`, each by weights fitted without its fold."""
    order = np.random.default_rng(0).permutation(len(labelled))
    found: list[int | None] = []
    for part in np.array_split(order, folds):
        held = set(part.tolist())
        seen = [query for n, query in enumerate(labelled) if n not in held]
        ranker = Ranker(fit_ranker(queries, embedder=embedder, labelled=seen))
        found += ranks(ranker, [labelled[n] for n in part])
    return _measures(found)


def ranks(ranker: Ranker, queries: Sequence[RankedQuery]) -> list[int | None]:
    """The rank of the best relevant candidate of each query."""
    found: list[int | None] = []
    for query in queries:
        scores = ranker.scores(query.legs)
        best = scores[query.relevant].max(initial=-np.inf)
        found.append(int((scores > best).sum()) + 1 if query.relevant.any() else None)
    return found


def figures(ranker: Ranker, queries: Sequence[RankedQuery]) -> dict[str, float]:
    """Recall, mean reciprocal rank and calibration error of `queries`, rounded for a card."""
    error = round(calibration_error(ranker, queries), 4)
    return _measures(ranks(ranker, queries)) | {"calibration_error": error}


def calibration_error(ranker: Ranker, queries: Sequence[RankedQuery], *, bins: int = 10) -> float:
    """Expected calibration error of the best hit's probability (Naeini et al. 2015), with equal bins."""
    pairs = [_stated(ranker, query) for query in queries]
    return _expected_error([p for p, _ in pairs], [right for _, right in pairs], bins=bins)


def without_answer(query: RankedQuery) -> RankedQuery:
    """The query as asked of a corpus that lacks its FAQ."""
    kept = ~query.relevant
    return RankedQuery(query.legs[kept], query.relevant[kept])


def _measures(found: Sequence[int | None]) -> dict[str, float]:
    report = {"queries": len(found), "recall@1": recall_at(found, 1), "recall@5": recall_at(found, 5)}
    return {name: round(value, 4) for name, value in (report | {"mrr": mrr(found)}).items()}


def _stated(ranker: Ranker, query: RankedQuery) -> tuple[float, bool]:
    """The best hit's probability, and whether it answers."""
    scores = ranker.scores(query.legs)
    best = int(np.argmax(scores))
    return float(ranker.probabilities(scores)[best]), bool(query.relevant[best])


def _expected_error(stated: Sequence[float], right: Sequence[bool], *, bins: int = 10) -> float:
    shares, hits = np.array(stated), np.array(right, float)
    groups = np.minimum((shares * bins).astype(int), bins - 1)
    gaps = [
        (groups == b).mean() * abs(hits[groups == b].mean() - shares[groups == b].mean())
        for b in np.unique(groups)
    ]
    return float(sum(gaps))


@dataclass(frozen=True)
class _Lists:
    """The candidates of many queries, one below the other.

    Attributes:
        rows: `(n, features)`, standardised.
        relevant: `(n,)`, 1.0 where a candidate answers its query.
        sizes, starts: `(queries,)`, how many candidates a query has and where they begin.
        shares: `(queries,)`, what each counts in the loss; they sum to 1.
    """

    rows: Array
    relevant: Array
    sizes: NDArray[np.int64]
    starts: NDArray[np.int64]
    shares: Array

    def likely(self, weights: Array) -> tuple[float, Array, Array]:
        """The loss, and each candidate's probability among all of its query and among the relevant ones."""
        scores = self.rows @ weights
        powers = np.exp(scores - np.repeat(np.maximum.reduceat(scores, self.starts), self.sizes))
        wanted = powers * self.relevant
        every = np.add.reduceat(powers, self.starts)
        right = np.maximum(np.add.reduceat(wanted, self.starts), 1e-300)
        loss = float(self.shares @ np.log(every / right)) + _DECAY / 2 * float(weights @ weights)
        return loss, powers / np.repeat(every, self.sizes), wanted / np.repeat(right, self.sizes)


def _listwise(queries: Sequence[RankedQuery], labelled: Sequence[RankedQuery], *, portable: bool) -> Array:
    """Newton's method, on the part of the curvature that is never negative: each step leads down."""
    kinds = [[q for q in kind if q.relevant.any()] for kind in (queries, labelled)]
    if not any(kinds):
        raise ValueError("no query finds its FAQ among its candidates: nothing to learn from")
    strong = [_strongest(q, portable=portable) for kind in kinds for q in kind]
    rows = np.concatenate([x for x, _ in strong])
    sizes = np.array([len(y) for _, y in strong])
    spread = rows.std(axis=0) + 1e-9
    lists = _Lists(
        rows=(rows - rows.mean(axis=0)) / spread,
        relevant=np.concatenate([y for _, y in strong]).astype(np.float64),
        sizes=sizes,
        starts=np.concatenate([[0], np.cumsum(sizes)[:-1]]),
        shares=_shares(*map(len, kinds)),
    )
    counted = np.repeat(lists.shares, sizes)
    weights = np.zeros(rows.shape[1])
    loss, likely, right = lists.likely(weights)
    for _ in range(_MOST_STEPS):
        gradient = ((likely - right) * counted) @ lists.rows + _DECAY * weights
        means = np.add.reduceat(lists.rows * likely[:, None], lists.starts)
        curve = (lists.rows * (likely * counted)[:, None]).T @ lists.rows
        curve += _DECAY * np.eye(len(weights)) - (means * lists.shares[:, None]).T @ means
        step, before = np.linalg.solve(curve, gradient), loss
        while (tried := lists.likely(weights - step))[0] > before and np.abs(step).max() > _CONVERGED:
            step = step / 2
        weights, (loss, likely, right) = weights - step, tried
        if before - loss < _CONVERGED:
            break
    result: Array = weights / spread
    return result


def _shares(queries: int, labelled: int) -> Array:
    """What each query counts, then each labelled one; all of the loss where there is but one kind."""
    share = LABELLED_SHARE if queries and labelled else float(not queries)
    return np.concatenate(
        [np.full(queries, (1 - share) / max(1, queries)), np.full(labelled, share / max(1, labelled))]
    )


def _strongest(query: RankedQuery, *, portable: bool) -> tuple[Array, NDArray[np.bool_]]:
    """Features and relevance of the relevant and the most similar candidates: the rest teach little."""
    rows = features(query.legs, portable=portable)
    similar = np.argsort(-rows[:, FEATURES.index("dense_pool")], kind="stable")[:_RIVALS]
    kept = np.union1d(similar, np.flatnonzero(query.relevant))
    return rows[kept], query.relevant[kept]


def _calibrate(ranker: Ranker, queries: Sequence[RankedQuery]) -> tuple[float, float, float]:
    """Logistic regression of relevance on margin and level, by Newton's method."""
    inputs, labels = [], []
    for query in (*queries, *map(without_answer, queries[::_UNANSWERABLE])):
        scores = ranker.scores(query.legs)
        best = np.argsort(-scores)[:_CALIBRATED]
        inputs.append(np.stack([margins(scores)[best], scores[best]], axis=1))
        labels.append(query.relevant[best])
    x, y = np.concatenate(inputs), np.concatenate(labels).astype(np.float64)
    solution = _logistic(x, y)
    if min(solution[0], solution[1]) < 0:
        # Either must not turn the order round: leave out the one that would.
        kept = 0 if solution[1] < solution[0] else 1
        part = _logistic(x[:, kept : kept + 1], y)
        solution = np.array([part[0] if kept == 0 else 0.0, part[0] if kept == 1 else 0.0, part[1]])
    return float(max(solution[0], 0.0)), float(max(solution[1], 0.0)), float(solution[2])


def _logistic(x: Array, y: Array) -> Array:
    """Weights of the columns of `x`, then the intercept; columns are standardised on the way."""
    middle, spread = x.mean(axis=0), x.std(axis=0) + 1e-9
    design = np.hstack([(x - middle) / spread, np.ones((len(x), 1))])
    weights = np.zeros(design.shape[1])
    for _ in range(50):
        shares = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
        curve = (design * (shares * (1 - shares))[:, None]).T @ design + np.eye(len(weights))
        step = np.linalg.solve(curve, design.T @ (y - shares) - weights)
        weights += np.clip(step, -1, 1)
        if np.abs(step).max() < 1e-8:
            break
    slopes: Array = weights[:-1] / spread
    return np.append(slopes, weights[-1] - slopes @ middle)
