"""How the thresholds of verdicts are chosen on held-out lines."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from retrieval.scope.classifier import CLASSES
from retrieval.scope.features import NAMES, ScopeInput
from retrieval.training.scope import Bounds, Example, Thresholds, choose_thresholds

NOTHING = ScopeInput(np.zeros(len(NAMES), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
Line = tuple[Example, list[float]]


def line(label: str, *, sure: float, p: float, rank: int | None = None, group: str = "expansion") -> Line:
    """A line whose probability of in_scope is `p`; the rest is its own label's, or that of unanswerable."""
    rest = "unanswerable" if label == "in_scope" else label
    shares = [p if one == "in_scope" else (1 - p) * (one == rest) for one in CLASSES]
    return Example(label, "", NOTHING, group=group, rank=rank, sure=sure), shares


def chosen(lines: list[Line], **bounds: float) -> Thresholds:
    return choose_thresholds([one for one, _ in lines], np.array([p for _, p in lines]), Bounds(**bounds))


# Questions whose first hit is right with 0.30, 0.31, … 0.69, and one that is wrong at each tenth.
KNOWN = [line("in_scope", sure=0.30 + n / 100, p=0.9, rank=1) for n in range(40)]
WRONG = [line("in_scope", sure=sure, p=0.9, rank=0) for sure in (0.325, 0.425, 0.525, 0.625)]


def test_thresholds_answer_as_much_as_the_bound_on_wrong_answers_allows() -> None:
    strict, mild = chosen([*KNOWN, *WRONG], wrong=1 / 44), chosen([*KNOWN, *WRONG], wrong=2 / 44)

    assert strict.answered == pytest.approx(0.53)
    assert mild.answered == pytest.approx(0.43)


def test_thresholds_trade_one_kind_of_evidence_for_the_other() -> None:
    doubtful = [line("in_scope", sure=0.9, p=0.2, rank=0)] * 10
    found = chosen([*KNOWN, *WRONG, *doubtful], wrong=4 / 54)

    # Every right answer is given: what is wrong lies below another threshold than that of the first hit.
    assert found.answered <= 0.30
    assert 0.2 < found.answerable <= 0.9


def test_thresholds_keep_unanswerable_questions_unanswered() -> None:
    outside = [line("unanswerable", sure=0.45, p=0.9, group="written")] * 10
    found = chosen([*KNOWN, *outside], wrong=1.0, unanswerable=0.05)

    assert found.answered == pytest.approx(0.46)


def test_thresholds_that_cannot_keep_a_bound_answer_nothing() -> None:
    found = chosen([line("unanswerable", sure=1.0, p=1.0, group="written"), *KNOWN])

    assert (found.answered, found.answerable) == pytest.approx((0.89, 0.94))


def test_thresholds_heed_the_questions_that_name_all_their_faqs() -> None:
    asked = [replace(one, group="asked") for one, _ in (*KNOWN, *WRONG[:1])]
    rows = [p for _, p in (*KNOWN, *WRONG[:1])]
    other = [line("in_scope", sure=0.69, p=0.9, rank=0)] * 40

    found = chosen([*zip(asked, rows, strict=True), *other], wrong=0.0)

    assert found.answered == pytest.approx(0.33)
