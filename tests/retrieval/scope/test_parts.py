"""Messages that ask several things, and those that only seem to."""

from __future__ import annotations

import pytest

from retrieval.scope.parts import split_question
from retrieval.tokenizer import KoreanTokenizer

TOKENIZER = KoreanTokenizer()


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (
            "미성년자도 가입할 수 있나요? 그리고 사업자 서류는 뭘 내야 하나요?",
            ("미성년자도 가입할 수 있나요?", "사업자 서류는 뭘 내야 하나요?"),
        ),
        (
            "쿠폰은 어디서 만드나요 그리고 반품 주소는 어떻게 바꾸나요",
            ("쿠폰은 어디서 만드나요", "반품 주소는 어떻게 바꾸나요"),
        ),
        (
            "대표 이미지를 바꾸고 싶어요.\n또 상품 진열 순서도 제가 정할 수 있나요?",
            ("대표 이미지를 바꾸고 싶어요.", "상품 진열 순서도 제가 정할 수 있나요?"),
        ),
    ],
)
def test_questions_that_stand_alone_are_parted(text: str, parts: tuple[str, ...]) -> None:
    assert split_question(text, TOKENIZER) == parts


@pytest.mark.parametrize(
    "text",
    [
        "정산",
        "",
        "이번에 처음 팔아 봤어요. 구매확정도 됐고요. 돈은 언제 들어오나요?",
        "스토어를 두 개 열 수 있나요? 된다면 조건이 뭐예요?",
        "빠른정산이 뭐예요? 그거 누구나 되나요?",
        "반품 배송비는 누가 내나요? 얼마예요?",
        "옷에서 향수 냄새까지 나요. 그래도 반품을 받아야 하나요?",
    ],
)
def test_one_question_stays_whole(text: str) -> None:
    assert split_question(text, TOKENIZER) == (text,)
