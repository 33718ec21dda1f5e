"""Trains the scope classifier and chooses its thresholds on cross-validated folds.

Knows scikit-learn (the `calibrate` extra; not needed to answer) and how weights are stored; does not know
where the training lines come from.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.scope.classifier import CLASSES, Head, Judge, Thresholds
from retrieval.scope.features import BUCKETS, NAMES, ScopeInput

FOLDS = 5
VERDICTS = ("answered", "unsure", "not_found", "off_topic")
_SCALES = {"retrieval": 0.5, "dense": 10.0, "grams": 5.0}
_STRENGTH = 0.3
_INJECTION = 0.4
_ANSWERED = np.round(np.arange(0.05, 0.90, 0.01), 2)
_ANSWERABLE = np.round(np.arange(0.05, 0.95, 0.01), 2)
_UNSURE = np.round(np.arange(0.50, 0.01, -0.01), 2)
_OFF_TOPIC = np.round(np.arange(0.40, 0.99, 0.01), 2)

Probabilities = NDArray[np.float64]


@dataclass(frozen=True)
class Example:
    """One training line.

    Attributes:
        label: one of `CLASSES`.
        text: the question.
        given: what the classifier sees of it.
        weight: its share in the loss; a line searched a second time, elsewhere, counts less.
        group: `written`, `asked`, `queries`, `expansion` or `sample`, for the error rates.
        rank: 1 where the first hit answers, 0 where none does, None where nobody said which FAQ does.
        sure: the ranker's probability that the first hit answers.
    """

    label: str
    text: str
    given: ScopeInput
    weight: float = 1.0
    group: str = "written"
    rank: int | None = None
    sure: float = 0.0


@dataclass(frozen=True)
class Trained:
    """A judge and what cross-validation says of it."""

    judge: Judge
    report: dict[str, Any]


def train(examples: Sequence[Example], *, portable: bool) -> Trained:
    """Fits one judge.

    Args:
        examples: at least `FOLDS` of every class.
        portable: leave out the question's vector, and with it the embedder.
    """
    p = _held_out_probabilities(examples, portable=portable)
    thresholds = choose_thresholds(examples, p)
    judge = Judge(fit_head(examples, portable=portable), thresholds)
    return Trained(judge, rates(examples, p, thresholds))


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the thresholds must keep, as shares of the held-out examples.

    Attributes:
        wrong: most questions whose FAQs are known that are answered from another one. Those that were
            written to be learnt from are harder than what sellers type: 0.16 of them are 0.106 of these, of
            which at most 0.12 may be (docs/quality.md).
        unanswerable: most unanswerable questions that are answered; 0.12 of the written ones are 0.21 of
            sellers' own, of which at most 0.25 may be.
        outside: most off-topic questions and injections that are answered.
        insulted: most in-scope questions that are taken for off-topic ones.
        lost: most in-scope questions that get neither an answer nor choices.
    """

    wrong: float = 0.16
    unanswerable: float = 0.12
    outside: float = 0.05
    insulted: float = 0.02
    lost: float = 0.022


def choose_thresholds(examples: Sequence[Example], p: Probabilities, bounds: Bounds = Bounds()) -> Thresholds:
    """The thresholds that answer as much, and then turn away as much, as the bounds allow.

    An answer needs two: of all pairs within the bounds, that which answers most questions whose FAQ is known
    from that FAQ. The rest hold on written lines: expansions are asked as the corpus asks, none is lost.
    """
    of = _Groups(examples)
    sure = np.array([e.sure for e in examples])
    answered, answerable = _choose_answers(of, sure, p[:, 0], bounds)

    written = p[of.written]
    off_topic = _first(_OFF_TOPIC, lambda t: _share(written[:, 1] + written[:, 3] >= t) <= bounds.insulted)

    def lost(unsure: float) -> float:
        limits = Thresholds(answered, answerable, unsure, _INJECTION, off_topic)
        told = [limits.verdict(row, one) for row, one in zip(written, sure[of.written], strict=True)]
        return _share(np.isin(told, ("not_found", "off_topic")))

    unsure = _first(_UNSURE, lambda t: lost(t) <= bounds.lost)
    return Thresholds(answered, answerable, unsure, _INJECTION, off_topic)


def _choose_answers(
    of: _Groups, sure: NDArray[np.float64], in_scope: NDArray[np.float64], bounds: Bounds
) -> tuple[float, float]:
    """`answered` and `answerable`; where no pair keeps the bounds, the strictest one."""
    best, chosen = -1.0, (float(_ANSWERED[-1]), float(_ANSWERABLE[-1]))
    for answered in _ANSWERED:
        likely = sure >= answered
        for answerable in _ANSWERABLE:
            told = likely & (in_scope >= answerable)
            if (
                _share(told[of.wrong]) * of.wrong.sum() <= bounds.wrong * of.known.sum()
                and _share(told[of.unanswerable]) <= bounds.unanswerable
                and _share(told[of.outside]) <= bounds.outside
                and (right := _share(told[of.right])) > best
            ):
                best, chosen = right, (float(answered), float(answerable))
    return chosen


def _share(mask: NDArray[np.bool_]) -> float:
    return float(mask.mean()) if mask.size else 0.0


class _Groups:
    """Masks over the examples of the corpus itself, those of a second one left out."""

    def __init__(self, examples: Sequence[Example]) -> None:
        label = np.array([e.label for e in examples])
        own = np.array([e.group != "sample" for e in examples])
        rank = np.array([-1 if e.rank is None else e.rank for e in examples])
        # Sellers' questions with all their FAQs tell most; other lines name one FAQ where several answer.
        asked = np.array([e.group == "asked" for e in examples])
        self.known = own & (rank >= 0) & (asked if asked.any() else True)
        self.wrong = self.known & (rank != 1)
        self.right = self.known & (rank == 1)
        self.written = (label == "in_scope") & np.array([e.group == "written" for e in examples])
        self.unanswerable = own & (label == "unanswerable")
        self.outside = own & np.isin(label, ("off_topic", "injection"))


def _first(candidates: NDArray[np.float64], holds: Callable[[float], bool]) -> float:
    """The first candidate for which `holds`, else the last."""
    return next((float(t) for t in candidates if holds(float(t))), float(candidates[-1]))


def rates(examples: Sequence[Example], p: Probabilities, thresholds: Thresholds) -> dict[str, Any]:
    """Returns, per class and group, how many lines got which verdict; of in_scope also from which FAQ."""
    table: dict[str, dict[str, Any]] = {}
    for example, row_p in zip(examples, p, strict=True):
        name = example.label if example.group == "written" else f"{example.label} ({example.group})"
        row = table.setdefault(name, {"lines": 0, **dict.fromkeys(VERDICTS, 0), "wrong": 0})
        verdict = thresholds.verdict(row_p, example.sure)
        row["lines"] += 1
        row[verdict] += 1
        row["wrong"] += verdict == "answered" and example.rank is not None and example.rank != 1
    return table


def save(trained: Mapping[str, Trained], path: Path, *, about: Mapping[str, Any]) -> None:
    """Writes `model.json` and `model.npz` (half precision) into the folder `path`."""
    heads = {
        name: {
            "thresholds": {
                f.name: round(float(getattr(t.judge.thresholds, f.name)), 3) for f in fields(Thresholds)
            },
            "report": t.report,
        }
        for name, t in trained.items()
    }
    meta = {"about": dict(about), "classes": CLASSES, "features": NAMES, "heads": heads}
    path.mkdir(parents=True, exist_ok=True)
    (path / "model.json").write_text(json.dumps(meta, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    parts = {
        f"{name}.{f.name}": getattr(t.judge.head, f.name).astype(np.float16)
        for name, t in trained.items()
        for f in fields(Head)
    }
    np.savez_compressed(path / "model.npz", **parts)


def fit_head(examples: Sequence[Example], *, portable: bool) -> Head:
    """A multinomial logistic regression on every example."""
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


def _held_out_probabilities(examples: Sequence[Example], *, portable: bool) -> Probabilities:
    """`(n, classes)`: each example by a head that was fitted without its text."""
    held_out = np.zeros((len(examples), len(CLASSES)))
    for inside, outside in _folds(examples):
        head = fit_head([examples[i] for i in inside], portable=portable)
        held_out[outside] = [head.probabilities(examples[i].given) for i in outside]
    return held_out


def _folds(examples: Sequence[Example]) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    from sklearn.model_selection import StratifiedGroupKFold

    labels = np.array([CLASSES.index(e.label) for e in examples])
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    return list(folds.split(labels, labels, groups=[e.text for e in examples]))


def _gram_matrix(examples: Sequence[Example]) -> Any:
    from scipy import sparse

    lists = [e.given.grams for e in examples]
    ends = np.cumsum([0, *(len(g) for g in lists)])
    values = np.concatenate([np.full(len(g), 1 / np.sqrt(max(1, len(g)))) for g in lists])
    return sparse.csr_matrix((values, np.concatenate(lists), ends), shape=(len(lists), BUCKETS))
