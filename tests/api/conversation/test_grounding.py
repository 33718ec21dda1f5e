"""Sentences with figures or menus that no cited FAQ holds are found, however the stream was cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.conversation.checks.attribution import source_of
from api.conversation.checks.grounding import GroundingCheck, is_grounded
from api.conversation.opening import answer_rules
from api.settings import ConversationSettings
from retrieval.corpus.faq import Faq, faq_id
from retrieval.prompt import Passage

SOURCE = (
    "정산은 구매확정 다음 영업일에 됩니다. 수수료는 3.63%이며 반품 배송비는 3,000원입니다.\n"
    "[정산관리 > 정산 내역(일별/건별)]에서 보고, 서류는 10 MB까지 올립니다. 보증금은 50만 원입니다."
)


def passages(*answers: str) -> list[Passage]:
    return [
        Passage(n, Faq(faq_id(f"질문 {n}"), f"질문 {n}", answer, (), (), f"질문 {n}"))
        for n, answer in enumerate(answers, 1)
    ]


@pytest.mark.parametrize(
    "sentence",
    [
        "수수료는 3.63%입니다.",
        "수수료는 3.63퍼센트예요.",
        "반품 배송비 3000원을 냅니다.",
        "보증금 500,000원이 필요합니다.",
        "정산관리 > 정산 내역 메뉴에서 봅니다.",
        "1. 서류를 10MB까지 올립니다.",
        "다음 영업일에 정산됩니다.",
        "",
    ],
)
def test_what_the_source_says_is_grounded(sentence: str) -> None:
    assert is_grounded(sentence, SOURCE)


@pytest.mark.parametrize(
    "sentence",
    [
        "수수료는 3.36%입니다.",
        "반품 배송비는 3,500원입니다.",
        "3일 안에 정산됩니다.",
        "보증금은 50원입니다.",
        "서류는 10개까지 올립니다.",
        "판매관리 > 정산 내역에서 봅니다.",
        "정산관리 > 빠른정산에서 봅니다.",
    ],
)
def test_what_the_source_does_not_say_is_found(sentence: str) -> None:
    assert not is_grounded(sentence, SOURCE)


def test_a_sentence_is_held_against_the_passages_it_cites() -> None:
    check = GroundingCheck(passages("수수료는 5%입니다.", "수수료는 7%입니다."))
    check.feed("수수료는 5%입니다. [1] 다른 수수료는 5%입니다. [2] 또 7%도 있습니다.")
    check.flush()
    assert check.ungrounded == ["다른 수수료는 5%입니다."]


ANSWER = "수수료는 5%입니다.[1] 3일 뒤에 됩니다. [1]\n1. 배송비 7원을 냅니다[1].\n- 끝입니다."


@given(st.lists(st.integers(0, len(ANSWER)), max_size=12), st.booleans())
def test_the_cut_of_the_stream_changes_nothing(cuts: list[int], drop: bool) -> None:
    check = GroundingCheck(passages("수수료는 5%입니다."), drop=drop)
    places = [0, *sorted(cuts), len(ANSWER)]
    shown = "".join(check.feed(ANSWER[a:b]) for a, b in pairwise(places)) + check.flush()
    assert check.ungrounded == ["3일 뒤에 됩니다.", "1. 배송비 7원을 냅니다."]
    assert shown == ("수수료는 5%입니다.[1] - 끝입니다." if drop else ANSWER)


@pytest.mark.parametrize(("ungrounded", "dropped"), [("flag", False), ("drop", True)])
def test_the_settings_say_whether_such_sentences_are_shown(ungrounded: str, dropped: bool) -> None:
    settings = ConversationSettings.model_validate({"ungrounded": ungrounded})
    assert answer_rules(settings).drop_ungrounded is dropped


def test_an_answer_comes_from_the_passage_whose_words_and_figures_it_repeats() -> None:
    other = "가입할 때 본인 명의의 통장 사본과 신분증을 준비해 주세요. 심사는 따로 안내해 드립니다."
    said = "정산은 구매확정 다음 영업일에 됩니다. 수수료는 3.63%이며 반품 배송비는 3,000원입니다."
    assert source_of(said, passages(other, SOURCE)) == 2
    assert source_of(f"{said} [1]", passages(SOURCE, other)) == 1
    # Another figure, as near a source, other words, too few of them, no passage at all.
    assert source_of(said.replace("3.63", "3.36"), passages(other, SOURCE)) is None
    assert source_of(said, passages(SOURCE, SOURCE)) is None
    assert source_of(other, passages(SOURCE)) is None
    assert source_of("정산은 다음 영업일에 됩니다.", passages(other, SOURCE)) is None
    assert source_of(said, []) is None
