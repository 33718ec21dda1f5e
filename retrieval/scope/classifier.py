"""Judges whether a question can be answered, is off topic, or is about the store but unanswerable.

Knows the calibrated weights and how a verdict follows from probabilities; does not know how the weights
were trained, nor sessions, HTTP or how an answer is worded. numpy only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from retrieval.scope.features import ScopeInput, scope_input
from retrieval.scope.injection import is_injection
from retrieval.search import SearchResult

ScopeLabel = Literal["answered", "off_topic", "not_found"]
CLASSES = ("in_scope", "off_topic", "unanswerable", "injection", "bare")
SCOPE_DIR = Path(__file__).resolve().parents[2] / "configs" / "scope"
_BARE = re.compile(
    r"^(?:그럼|그러면|그리고|그래서|근데|그런데|그건|그거|그게|그걸|그때|거기|이건|이거|이게|저건|아니면|만약)?[\s,]*"
    r"(?:얼마나|언제|어디|어떻게|왜|누가|뭐|무엇|몇|며칠|다음|더|또|수수료|비용|기간|방법|조건|서류|예외|안|못|꼭|이유)?"
    r"[가-힣\s,]{0,9}[?!.~\s]*$"
)
_POINTS_BACK = re.compile(
    r"^(?:그럼|그러면|그건|그거|그게|그걸|그때|거기|그리고|근데|이건|이거|이게|아니면|얼마나|언제|어디|왜)"
)
_SURE_HIT = 0.5


@dataclass(frozen=True, slots=True)
class ScopeVerdict:
    """How a question was judged.

    Attributes:
        verdict: `answered`, `off_topic` (also for an injection) or `not_found`.
        probabilities: of each of `CLASSES`, summing to 1.
        injection: true where the text tries to give the assistant orders.
    """

    verdict: ScopeLabel
    probabilities: Mapping[str, float]
    injection: bool = False


@dataclass(frozen=True)
class Head:
    """A multinomial logistic regression over the parts of a `ScopeInput`.

    Attributes:
        retrieval_mean, retrieval_coef: `(features,)` and `(5, features)`, on raw feature values.
        dense_mean, dense_coef: `(dim,)` and `(5, dim)`; empty where the head does without the vector.
        gram_coef: `(5, BUCKETS)`, on indicators divided by the root of their number.
        intercept: `(5,)`.
    """

    retrieval_mean: NDArray[np.float32]
    retrieval_coef: NDArray[np.float32]
    dense_mean: NDArray[np.float32]
    dense_coef: NDArray[np.float32]
    gram_coef: NDArray[np.float32]
    intercept: NDArray[np.float32]

    def probabilities(self, given: ScopeInput) -> NDArray[np.float64]:
        """Returns `(5,)` probabilities in the order of `CLASSES`."""
        logits = self.intercept + self.retrieval_coef @ (given.retrieval - self.retrieval_mean)
        if self.dense_mean.size:
            logits = logits + self.dense_coef @ (given.dense - self.dense_mean)
        if given.grams.size:
            logits = logits + self.gram_coef[:, given.grams].sum(axis=1) / np.sqrt(given.grams.size)
        shifted = np.exp(logits.astype(np.float64) - float(logits.max()))
        probabilities: NDArray[np.float64] = shifted / shifted.sum()
        return probabilities


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Where the verdicts part, chosen on cross-validated folds.

    Attributes:
        answered: least probability of in_scope for an answer.
        injection: least probability of injection for a refusal, whatever else holds.
        off_topic: off_topic (with injection) over unanswerable from which a question is refused.
    """

    answered: float
    injection: float
    off_topic: float

    def is_injection(self, p: NDArray[np.float64]) -> bool:
        """True where an injection is likely and an ordinary question not twice as likely."""
        return bool(p[3] >= self.injection and 2.0 * p[3] >= p[0])

    def verdict(self, p: NDArray[np.float64]) -> ScopeLabel:
        """The verdict for probabilities in the order of `CLASSES`.

        A bare follow-up without its conversation cannot be judged: it is never off topic.
        """
        if self.is_injection(p):
            return "off_topic"
        said = 1.0 - 0.5 * float(p[4])
        if p[0] >= self.answered * said:
            return "answered"
        if p[4] >= max(p[1], p[3]):
            return "not_found"
        return "off_topic" if p[1] + p[3] >= self.off_topic * p[2] else "not_found"


class ScopeClassifier:
    """Three-way verdict on a question, from its text and its search result; immutable, thread-safe."""

    def __init__(self, heads: Mapping[str, Head], thresholds: Mapping[str, Thresholds]) -> None:
        """Takes the heads `full` (needs vectors of the size it was trained on) and `portable`."""
        self._heads, self._thresholds = dict(heads), dict(thresholds)

    @classmethod
    def load(cls, path: Path = SCOPE_DIR) -> ScopeClassifier:
        """Reads `model.json` and `model.npz` as `smartstore calibrate` wrote them.

        Raises:
            OSError: a file is missing; `ValueError` or `KeyError`: it is not such a file.
        """
        meta: dict[str, Any] = json.loads((path / "model.json").read_text(encoding="utf-8"))
        with np.load(path / "model.npz", allow_pickle=False) as stored:
            parts = {name: stored[name].astype(np.float32) for name in stored.files}
        fields = Head.__dataclass_fields__
        heads = {name: Head(**{f: parts[f"{name}.{f}"] for f in fields}) for name in meta["heads"]}
        thresholds = {name: Thresholds(**head["thresholds"]) for name, head in meta["heads"].items()}
        return cls(heads, thresholds)

    def judge(self, question: str, result: SearchResult, *, followup: bool) -> ScopeVerdict:
        """Judges a question by what was found for it.

        Args:
            question: as it is to be understood: standalone, where there is a history.
            result: the search to answer from.
            followup: true where the question leans on what came before; such a question, and any bare
                one (`그럼 언제까지요?`), is never off topic by itself.
        """
        given = scope_input(question, result)
        name = "full" if given.dense.shape == self._heads["full"].dense_mean.shape else "portable"
        p = self._heads[name].probabilities(given)
        thresholds = self._thresholds[name]
        probabilities = {label: round(float(value), 4) for label, value in zip(CLASSES, p, strict=True)}
        if is_injection(question):
            return ScopeVerdict("off_topic", probabilities, injection=True)
        if thresholds.is_injection(p):
            return ScopeVerdict("off_topic", probabilities, injection=True)
        verdict = thresholds.verdict(p)
        if verdict != "answered" and followup and _carries_on(p, thresholds, result):
            verdict = "answered"
        if verdict == "off_topic" and (followup or is_bare(question)):
            verdict = "not_found"
        return ScopeVerdict(verdict, probabilities)


def _carries_on(p: NDArray[np.float64], thresholds: Thresholds, result: SearchResult) -> bool:
    """A follow-up speaks in fewer words than the questions of training: half the evidence, and a sure hit."""
    found = bool(result.hits) and result.hits[0].score >= _SURE_HIT
    return found and bool(p[0] >= thresholds.answered / 2) and bool(p[0] > p[1] + p[3])


def is_bare(question: str) -> bool:
    """True for a question that says nothing without what came before it, such as `그럼 언제까지요?`."""
    text = question.strip()
    return len(text) <= 16 and bool(_POINTS_BACK.search(text)) and bool(_BARE.match(text))
