"""Trains the scope classifier and chooses its thresholds on cross-validated folds.

Knows scikit-learn (the `calibrate` extra; not needed to answer) and how weights are stored; does not know
where the training lines come from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.scope.classifier import CLASSES, Head, Thresholds
from retrieval.scope.features import BUCKETS, NAMES, ScopeInput

FOLDS = 5
_SCALES = {"retrieval": 0.5, "dense": 10.0, "grams": 5.0}
_STRENGTH = 0.3
_ANSWERED = np.arange(0.40, 0.76, 0.01)
_OFF_TOPIC = np.arange(0.4, 0.81, 0.05)
_INJECTION = 0.25
_WORTH = (1.0, 4.0, 1.5, 1.0)


@dataclass(frozen=True)
class Example:
    """One training line.

    Attributes:
        label: one of `CLASSES`.
        text: the question.
        given: what the classifier sees of it.
        weight: its share in the loss; a line searched a second time, elsewhere, counts less.
        group: `written`, `expansion` or `sample`, for the error rates.
    """

    label: str
    text: str
    given: ScopeInput
    weight: float = 1.0
    group: str = "written"


@dataclass(frozen=True)
class Trained:
    """A head, its thresholds and what cross-validation says of them."""

    head: Head
    thresholds: Thresholds
    report: dict[str, Any]


def train(examples: Sequence[Example], *, portable: bool, floor: float = 0.974) -> Trained:
    """Fits one head.

    Args:
        examples: at least `FOLDS` of every class.
        portable: leave out the question's vector, and with it the embedder.
        floor: share of expansions that must stay answered on the held-out folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    labels = np.array([CLASSES.index(e.label) for e in examples])
    held_out = np.zeros((len(examples), len(CLASSES)))
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    for inside, outside in folds.split(labels, labels, groups=[e.text for e in examples]):
        head = _fit([examples[i] for i in inside], portable=portable)
        held_out[outside] = [head.probabilities(examples[i].given) for i in outside]
    thresholds = _thresholds(examples, labels, held_out, floor)
    report = rates(examples, held_out, thresholds)
    return Trained(_fit(examples, portable=portable), thresholds, report)


def rates(
    examples: Sequence[Example], probabilities: NDArray[np.float64], thresholds: Thresholds
) -> dict[str, Any]:
    """Returns, per class (expansions apart), how many lines got which verdict."""
    table: dict[str, dict[str, Any]] = {}
    for example, p in zip(examples, probabilities, strict=True):
        name = example.label if example.group == "written" else f"{example.label} ({example.group})"
        row = table.setdefault(name, {"lines": 0, "answered": 0, "off_topic": 0, "not_found": 0})
        row["lines"] += 1
        row[thresholds.verdict(p)] += 1
    return table


def save(trained: Mapping[str, Trained], path: Path, *, about: Mapping[str, Any]) -> None:
    """Writes `model.json` and `model.npz` (half precision) into the folder `path`."""
    heads = {
        name: {
            "thresholds": {f.name: round(float(getattr(t.thresholds, f.name)), 3) for f in fields(Thresholds)}
        }
        for name, t in trained.items()
    }
    meta = {"about": dict(about), "classes": CLASSES, "features": NAMES, "heads": heads}
    path.mkdir(parents=True, exist_ok=True)
    (path / "model.json").write_text(json.dumps(meta, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    parts = {
        f"{name}.{f.name}": getattr(t.head, f.name).astype(np.float16)
        for name, t in trained.items()
        for f in fields(Head)
    }
    np.savez_compressed(path / "model.npz", **parts)


def _fit(examples: Sequence[Example], *, portable: bool) -> Head:
    from scipy import sparse
    from sklearn.linear_model import LogisticRegression

    retrieval = np.stack([e.given.retrieval for e in examples]).astype(np.float64)
    mean, scale = retrieval.mean(axis=0), _SCALES["retrieval"] / (retrieval.std(axis=0) + 1e-6)
    blocks = [sparse.csr_matrix((retrieval - mean) * scale), _gram_matrix(examples) * _SCALES["grams"]]
    dense_mean = np.zeros(0)
    if not portable:
        dense = np.stack([e.given.dense for e in examples]).astype(np.float64)
        dense_mean = dense.mean(axis=0)
        blocks.append(sparse.csr_matrix((dense - dense_mean) * _SCALES["dense"]))
    labels = [CLASSES.index(e.label) for e in examples]
    weights = [e.weight for e in examples]
    model = LogisticRegression(C=_STRENGTH, max_iter=500)
    model.fit(sparse.hstack(blocks).tocsr(), labels, sample_weight=weights)
    coef, start = model.coef_, len(NAMES)
    return Head(
        retrieval_mean=mean.astype(np.float32),
        retrieval_coef=(coef[:, :start] * scale).astype(np.float32),
        dense_mean=dense_mean.astype(np.float32),
        dense_coef=(coef[:, start + BUCKETS :] * _SCALES["dense"]).astype(np.float32),
        gram_coef=(coef[:, start : start + BUCKETS] * _SCALES["grams"]).astype(np.float32),
        intercept=model.intercept_.astype(np.float32),
    )


def _gram_matrix(examples: Sequence[Example]) -> Any:
    from scipy import sparse

    lists = [e.given.grams for e in examples]
    ends = np.cumsum([0, *(len(g) for g in lists)])
    values = np.concatenate([np.full(len(g), 1 / np.sqrt(max(1, len(g)))) for g in lists])
    return sparse.csr_matrix((values, np.concatenate(lists), ends), shape=(len(lists), BUCKETS))


def _thresholds(
    examples: Sequence[Example], labels: NDArray[np.int64], p: NDArray[np.float64], floor: float
) -> Thresholds:
    """Maximises the mean share judged right, while `floor` of the expansions stay answered."""
    written = np.array([e.group == "written" for e in examples])
    expanded = np.array([e.group == "expansion" for e in examples])
    best, chosen = -1.0, Thresholds(0.5, _INJECTION, 1.0)
    for answered in _ANSWERED:
        for off_topic in _OFF_TOPIC:
            candidate = Thresholds(float(answered), _INJECTION, float(off_topic))
            verdicts = np.array([candidate.verdict(row) for row in p])
            easy = verdicts[expanded] == "answered"
            if easy.size and easy.mean() < floor:
                continue
            right = [
                (verdicts[written & (labels == n)] == want).mean()
                for n, want in enumerate(("answered", "off_topic", "not_found", "off_topic"))
            ]
            if (score := float(np.dot(right, _WORTH))) > best:
                best, chosen = score, candidate
    return chosen
