"""Titles as offers: every shape of sentence the FAQ has, with its particle."""

from __future__ import annotations

import pytest

from retrieval.corpus.faq import Faq, faq_id
from retrieval.offers.wording import object_particle, offer_text


def _faq(question: str, *categories: str) -> Faq:
    return Faq(faq_id(question), question, "답", categories, (), question)


@pytest.mark.parametrize(
    ("question", "offer"),
    [
        ("상품 등록은 어떻게 하나요?", "상품 등록 방법을 안내해드릴까요?"),
        ("쿠폰은 어디서 발급하나요?", "쿠폰은 어디서 발급하는지 안내해드릴까요?"),
        ("빠른정산은 무엇인가요?", "빠른정산은 무엇인지 궁금하신가요?"),
        ("마케팅분석이란?", "마케팅분석이란 무엇인지 궁금하신가요?"),
        ("해외 판매가 가능한가요?", "해외 판매가 가능한지 궁금하신가요?"),
        ("부분 취소도 되나요?", "부분 취소도 되는지 궁금하신가요?"),
        ("제가 부담할까요?", "제가 부담할지 궁금하신가요?"),
        ("정산 일정을 알고 싶어요.", "정산 일정을 안내해드릴까요?"),
        ("제재 기준이 궁금해요.", "제재 기준이 궁금하신가요?"),
        ("로고를 바꾸고 싶어요.", "로고를 바꾸고 싶으시다면 방법을 안내해드릴까요?"),
        ("심사내역 조회 방법", "심사내역 조회 방법을 안내해드릴까요?"),
        ("★ 배너 등록 가이드 (온라인 교육 제공)", "배너 등록 가이드를 안내해드릴까요?"),
        ("세금계산서 메뉴 안내", "세금계산서 메뉴를 안내해드릴까요?"),
        ("문자가 오지 않아요.", "“문자가 오지 않아요” 이런 경우 어떻게 하면 되는지 안내해드릴까요?"),
        (
            "재고가 음수입니다. 왜 그런가요?",
            "“재고가 음수입니다” 왜 그런지 궁금하신가요?",
        ),
        (
            "주소가 틀렸어요. 어떻게 해야 하나요?",
            "“주소가 틀렸어요” 이런 경우 어떻게 해야 하는지 안내해드릴까요?",
        ),
        (
            "등급은 무엇인가요? 언제 바뀌나요?",
            "등급은 무엇인지, 언제 바뀌는지 안내해드릴까요?",
        ),
        (
            "등급은 무엇인가요? 알려 주세요. 언제 바뀌나요?",
            "“등급은 무엇인가요? 알려 주세요. 언제 바뀌나요?” 이런 경우 어떻게 하면 되는지 안내해드릴까요?",
        ),
        ("?", "? 안내해드릴까요?"),
    ],
)
def test_offer_fits_the_shape_of_the_title(question: str, offer: str) -> None:
    assert offer_text(_faq(question)) == offer


def test_offer_names_a_product_that_the_title_does_not() -> None:
    tagged = _faq("[라이브] 예고는 어떻게 하나요?", "라이브")
    assert offer_text(tagged) == "[라이브] 예고 방법을 안내해드릴까요?"
    assert offer_text(tagged, topic="라이브") == "예고 방법을 안내해드릴까요?"
    assert offer_text(_faq("[쿠폰] 쿠폰은 무엇인가요?", "쿠폰")) == "쿠폰은 무엇인지 궁금하신가요?"


@pytest.mark.parametrize(
    ("word", "particle"),
    [("방법", "을"), ("가이드", "를"), ("SMS", "를"), ("URL", "을"), ("30", "을"), ("", "를")],
)
def test_object_particle_follows_the_last_sound(word: str, particle: str) -> None:
    assert object_particle(word) == particle
