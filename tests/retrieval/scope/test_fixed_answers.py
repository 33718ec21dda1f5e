"""The fixed answers: one wording everywhere, and recognised in whatever form a model says them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from retrieval.prompt import NOT_FOUND, REFUSAL, load_system_prompt
from retrieval.scope.classifier import ScopeLabel
from retrieval.scope.fixed_answers import FixedSentence, fixed_text


def _said(*pieces: str) -> tuple[str, ScopeLabel | None]:
    fixed = FixedSentence()
    shown = "".join([*map(fixed.feed, pieces), fixed.flush()])
    return shown, fixed.verdict


def test_the_instructions_quote_the_fixed_sentences_word_for_word() -> None:
    instructions = load_system_prompt()
    assert REFUSAL in instructions
    assert NOT_FOUND in instructions


@pytest.mark.parametrize(
    "pieces",
    [
        (NOT_FOUND,),
        tuple(NOT_FOUND),
        (f'"{NOT_FOUND}"',),
        (NOT_FOUND, " [1][2]"),
        (NOT_FOUND.replace(" 이 ", "\n\n이 "), "\n"),
        (NOT_FOUND.removesuffix("."),),
        (NOT_FOUND, " 다른 질문이 있으면 말씀해 주세요."),
    ],
    ids=["whole", "by letters", "quoted", "cited", "line break", "no full stop", "courtesy behind it"],
)
def test_a_not_found_sentence_in_any_form_is_the_verdict(pieces: Sequence[str]) -> None:
    assert _said(*pieces) == (NOT_FOUND, "not_found")


def test_a_refusal_is_the_verdict() -> None:
    assert _said(REFUSAL[:9], REFUSAL[9:], " [1]") == (REFUSAL, "off_topic")


def test_an_answer_is_let_go_with_its_first_letters() -> None:
    fixed = FixedSentence()
    assert fixed.feed("정산은") == "정산은"
    assert fixed.feed(f" {NOT_FOUND}") == f" {NOT_FOUND}"
    assert fixed.flush() == ""
    assert fixed.verdict is None


def test_an_answer_that_begins_alike_is_not_held_for_long() -> None:
    fixed = FixedSentence()
    assert fixed.feed("죄송하지만 FAQ에") == ""
    assert fixed.feed(" 따르면 환불됩니다 [1].") == "죄송하지만 FAQ에 따르면 환불됩니다 [1]."


def test_what_is_cited_behind_the_sentence_is_an_answer() -> None:
    partial = f"{NOT_FOUND} 다만 반품 배송비는 구매자가 냅니다 [2]."
    assert _said(partial) == (partial, None)


def test_each_verdict_and_intent_has_its_own_words() -> None:
    assert fixed_text("off_topic", "question") == REFUSAL
    assert fixed_text("not_found", "question") == NOT_FOUND
    texts = {
        fixed_text("unsure", "question"),
        fixed_text("off_topic", "greeting"),
        fixed_text("off_topic", "thanks"),
        fixed_text("not_found", "person"),
    }
    assert len(texts | {REFUSAL, NOT_FOUND}) == 6
