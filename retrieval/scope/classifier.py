"""Judges whether a question can be answered, is off topic, or is about the store but unanswerable.

Knows the calibrated weights and how a verdict follows from probabilities; does not know how the weights
were trained, nor sessions, HTTP or how an answer is worded. numpy only.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from retrieval.scope.features import ScopeInput, scope_input
from retrieval.scope.injection import is_injection
from retrieval.scope.intents import Intent, intent_of
from retrieval.search import SearchResult, letters

ScopeLabel = Literal["answered", "unsure", "not_found", "off_topic"]
CLASSES = ("in_scope", "off_topic", "unanswerable", "injection", "bare")
SCOPE_DIR = Path(__file__).resolve().parent.parent.parent / "configs" / "scope"
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
        verdict: `answered`; `unsure` (the answer may be among the first hits); `not_found` (of a store, but
            not in the FAQ); `off_topic` (also for an injection).
        probabilities: of each of `CLASSES`, summing to 1.
        sure: the ranker's probability that the first hit answers.
        injection: true where the text tries to give the assistant orders.
        intent: what the text is where it asks nothing of the FAQ; a greeting and thanks are `off_topic`,
            the wish to speak to a person is `not_found`.
    """

    verdict: ScopeLabel
    probabilities: Mapping[str, float]
    sure: float = 0.0
    injection: bool = False
    intent: Intent = "question"


@dataclass(frozen=True)
class Head:
    """A multinomial logistic regression over the parts of a `ScopeInput`.

    Attributes:
        retrieval_mean, retrieval_coef: `(features,)` and `(classes, features)`, on raw feature values.
        dense_mean, dense_coef: `(dim,)` and `(classes, dim)`; empty where the head does without the vector.
        gram_coef: `(classes, BUCKETS)`, on indicators divided by the root of their number.
        intercept: `(classes,)`.
    """

    retrieval_mean: NDArray[np.float32]
    retrieval_coef: NDArray[np.float32]
    dense_mean: NDArray[np.float32]
    dense_coef: NDArray[np.float32]
    gram_coef: NDArray[np.float32]
    intercept: NDArray[np.float32]

    def probabilities(self, given: ScopeInput) -> NDArray[np.float64]:
        """Returns `(classes,)` probabilities in the order of `CLASSES`."""
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
        answered: least probability that the first hit answers (the ranker's), for an answer.
        answerable: least probability of in_scope for an answer.
        unsure: least probability of in_scope for an offer of choices.
        injection: least probability of injection for a refusal, whatever else holds.
        off_topic: least probability of off_topic (with injection) for a refusal.
    """

    answered: float
    answerable: float
    unsure: float
    injection: float
    off_topic: float

    def is_injection(self, p: NDArray[np.float64]) -> bool:
        """True where an injection is likely and an ordinary question not twice as likely."""
        return bool(p[3] >= self.injection and 2.0 * p[3] >= p[0])

    def verdict(self, p: NDArray[np.float64], sure: float) -> ScopeLabel:
        """The verdict for probabilities in the order of `CLASSES` and that of the first hit.

        A bare follow-up without its conversation cannot be judged: it is never off topic.
        """
        if self.is_injection(p):
            return "off_topic"
        if sure >= self.answered and p[0] >= self.answerable:
            return "answered"
        if p[1] + p[3] >= max(self.off_topic, float(p[4])):
            return "off_topic"
        if p[0] >= self.unsure:
            return "unsure"
        return "off_topic" if p[1] + p[3] >= max(p[2], p[4]) else "not_found"


@dataclass(frozen=True)
class Judge:
    """A head with its thresholds."""

    head: Head
    thresholds: Thresholds


class ScopeClassifier:
    """Verdict on a question, from its text and its search result; immutable, thread-safe."""

    def __init__(self, judges: Mapping[str, Judge]) -> None:
        """Takes the judges `full` (needs vectors of the size it was trained on) and `portable`."""
        self._judges = dict(judges)

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
        judges = {
            name: Judge(
                Head(**{f: parts[f"{name}.{f}"] for f in fields}),
                Thresholds(**told["thresholds"]),
            )
            for name, told in meta["heads"].items()
        }
        return cls(judges)

    @cached_property
    def version(self) -> str:
        """8 hex digits that change with any weight or threshold."""
        digest = hashlib.blake2b(digest_size=4)
        for _, judge in sorted(self._judges.items()):
            digest.update(repr(judge.thresholds).encode())
            for field in Head.__dataclass_fields__:
                digest.update(getattr(judge.head, field).tobytes())
        return digest.hexdigest()

    def judge(self, question: str, result: SearchResult, *, followup: bool) -> ScopeVerdict:
        """Judges a question by what was found for it.

        Args:
            question: as it is to be understood: standalone, where there is a history.
            result: the search to answer from.
            followup: true where the question leans on what came before; such a question, and any bare
                one (`그럼 언제까지요?`), is never off topic by itself.
        """
        given = scope_input(question, result)
        fits = given.dense.shape == self._judges["full"].head.dense_mean.shape
        judge = self._judges["full" if fits else "portable"]
        p = judge.head.probabilities(given)
        sure = result.hits[0].score if result.hits else 0.0
        probabilities = {label: round(float(value), 4) for label, value in zip(CLASSES, p, strict=True)}
        about = ScopeVerdict("off_topic", probabilities, round(sure, 4))
        if is_injection(question) or judge.thresholds.is_injection(p):
            return replace(about, injection=True)
        if result.hits and letters(result.hits[0].faq.question) == letters(question):
            return replace(about, verdict="answered", sure=1.0)
        if (intent := intent_of(question)) != "question":
            return replace(about, verdict="not_found" if intent == "person" else "off_topic", intent=intent)
        verdict = judge.thresholds.verdict(p, sure)
        if verdict != "answered" and followup and _carries_on(p, sure, judge.thresholds):
            verdict = "answered"
        if verdict == "off_topic" and (followup or is_bare(question)):
            verdict = "not_found"
        return replace(about, verdict=verdict)


def _carries_on(p: NDArray[np.float64], sure: float, thresholds: Thresholds) -> bool:
    """A follow-up speaks in fewer words than the questions of training: half the evidence, and a sure hit."""
    return sure >= _SURE_HIT and bool(p[0] >= thresholds.answerable / 2) and bool(p[0] > p[1] + p[3])


def is_bare(question: str) -> bool:
    """True for a question that says nothing without what came before it, such as `그럼 언제까지요?`."""
    text = question.strip()
    return len(text) <= 16 and bool(_POINTS_BACK.search(text)) and bool(_BARE.match(text))
