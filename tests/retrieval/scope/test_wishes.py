"""Wishes of the conversation: more of the same, or something else."""

from __future__ import annotations

import pytest

from retrieval.scope.wishes import wants_more, wants_something_else


@pytest.mark.parametrize(
    "text",
    [
        "아니 그거 말고",
        "그거 말고",
        "다른 거 없어요?",
        "그게 아니에요",
        "아뇨 다른 거요",
        "다른거 알려줘",
        "이거 말고 다른 거",
    ],
)
def test_something_else_is_wanted(text: str) -> None:
    assert wants_something_else(text)


@pytest.mark.parametrize(
    "text",
    [
        "그거 말고 환불 기간이요",
        "다른 상품은요",
        "다른 사람에게 넘기고 싶어요",
        "아니요",
        "그게 아니라 교환 배송비요",
    ],
)
def test_a_question_of_its_own_is_no_such_wish(text: str) -> None:
    assert not wants_something_else(text)


@pytest.mark.parametrize(
    "text", ["더 자세히", "더요", "이해가 안돼요 쉽게 설명해줘", "나머지 알려줘", "다시 설명해 주세요"]
)
def test_more_is_wanted(text: str) -> None:
    assert wants_more(text)


@pytest.mark.parametrize("text", ["더 싸게 파는 법", "정산은 언제 되나요?"])
def test_more_is_not_wanted(text: str) -> None:
    assert not wants_more(text)
