"""Trains how much a question leans on its conversation: on dialogues made from the corpus, and written lines.

A dialogue is two FAQs: where they are neighbours, the second one's expansion loses the words the first one
has already said, as a speaker drops them; where they are unrelated it is asked in full. Of the written lines
bare ones (`그럼 언제까지요?`) lean, sellers' own questions do not. Knows scikit-learn (the `calibrate` extra;
not needed to answer); does not know sessions.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.corpus.faq import Faq
from retrieval.scope.classifier import ScopeClassifier
from retrieval.scope.dependence import FEATURES, dependence_features
from retrieval.training.held_out import HeldOut
from retrieval.training.scope_examples import ScopeLine

_OPENINGS = ("그럼 ", "그러면 ", "그건 ", "근데 ", "거기 ", "그리고 ", "")
_OPENED = 0.35
_NEAR = 12


@dataclass(frozen=True, slots=True)
class AskedAfter:
    """A question after a FAQ was answered.

    Attributes:
        before, asked: the two FAQs.
        origin: the expansion of `asked` that it was made from.
        text: the question.
        leans: whether it lost words that `before` has said.
    """

    before: Faq
    asked: Faq
    origin: str
    text: str
    leans: bool


def dialogues(corpus: HeldOut, *, count: int = 700, seed: int = 7) -> list[AskedAfter]:
    """Makes about `count` pairs, a third of them changes of topic."""
    rng = random.Random(seed)
    faqs = [faq for faq in corpus.faqs if corpus.expansions[faq.id]]
    if len(faqs) < 2:
        return []
    made = []
    for before in rng.sample(faqs, min(count, len(faqs))):
        asked = rng.choice(_neighbours(corpus, before, faqs))
        origin = rng.choice(corpus.expansions[asked.id])
        text = _dropped(corpus, before, origin)
        if text:
            opening = rng.choice(_OPENINGS) if rng.random() < _OPENED else ""
            made.append(AskedAfter(before, asked, origin, opening + text, True))
    for _ in range(len(made) // 2):
        before, asked = rng.sample(faqs, 2)
        origin = rng.choice(corpus.expansions[asked.id])
        made.append(AskedAfter(before, asked, origin, origin, False))
    return made


def train_gate(
    corpus: HeldOut, pairs: Sequence[AskedAfter], lines: Sequence[ScopeLine], scope: ScopeClassifier
) -> dict[str, Any]:
    """Fits the gate; returns what `context.json` holds.

    Raises:
        ValueError: there are too few pairs of either kind.
    """
    written = [line for line in lines if line.label == "bare" or _stands_alone(line)]
    leaning = [pair.leans for pair in pairs] + [line.label == "bare" for line in written]
    labels = np.array(leaning)
    if min(labels.sum(), (~labels).sum()) < 10:
        raise ValueError("too few FAQs with expansions to make dialogues from")
    found = [(pair.text, corpus.without(pair.origin).search(pair.text)) for pair in pairs]
    found += [(line.text, corpus.full.search(line.text)) for line in written]
    values = np.stack([dependence_features(*one, scope.judge(*one, followup=False)) for one in found])
    coef, intercept, accuracy = _fit(values, labels)
    return {
        "pairs": len(labels),
        "balanced_accuracy": round(accuracy, 3),
        "coef": {feature: round(float(c), 5) for feature, c in zip(FEATURES, coef, strict=True)},
        "intercept": round(intercept, 5),
    }


def save_gate(stored: dict[str, Any], path: Path) -> None:
    """Writes `context.json`."""
    path.write_text(json.dumps(stored, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _stands_alone(line: ScopeLine) -> bool:
    """Sellers' questions of several words name their topic; a single word may well lean."""
    return line.origin == "sellers" and line.label == "in_scope" and " " in line.text


def _fit(values: NDArray[np.float64], labels: NDArray[np.bool_]) -> tuple[NDArray[np.float64], float, float]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_score

    mean, scale = values.mean(axis=0), np.where(values.std(axis=0) > 0, values.std(axis=0), 1.0)
    scaled = (values - mean) / scale
    model = LogisticRegression(class_weight="balanced", max_iter=500)
    accuracy = float(cross_val_score(model, scaled, labels, cv=5, scoring="balanced_accuracy").mean())
    model.fit(scaled, labels)
    coef = model.coef_[0] / scale
    return coef, float(model.intercept_[0] - coef @ mean), accuracy


def _neighbours(corpus: HeldOut, faq: Faq, faqs: Sequence[Faq]) -> list[Faq]:
    """What the FAQ's title finds, and what shares its tag."""
    near = [hit.faq for hit in corpus.full.search(faq.question, limit=_NEAR).hits]
    near += [other for other in faqs if faq.categories and other.categories[:1] == faq.categories[:1]][:_NEAR]
    found = [other for other in near if other.id != faq.id and corpus.expansions[other.id]]
    return found or [other for other in faqs if other.id != faq.id]


def _dropped(corpus: HeldOut, before: Faq, question: str) -> str:
    """`question` without the words whose terms `before` has said; empty where nothing fits."""
    tokens = corpus.full.tokenizer.tokens
    said = set(tokens(before.question)).union(*map(tokens, corpus.expansions[before.id]))
    words = question.split()
    kept = [word for word in words if not (terms := set(tokens(word))) or not terms <= said]
    return " ".join(kept) if 2 <= len(kept) < len(words) else ""
