"""How an answer begins, below an unsure sentence."""

from __future__ import annotations

import pytest

from retrieval.quoting.glimpse import GLIMPSE_CHARS, glimpse


@pytest.mark.parametrize(
    ("most", "answer", "shown"),
    [
        (20, "배송지는 주문 상세에서 바꿉니다.", "배송지는 주문 상세에서 바꿉니다."),
        (20, "하나입니다.\n· 둘\n· 셋\n끝.", "하나입니다.\n· 둘\n· 셋\n끝."),
        (20, "첫 문장은 짧습니다. 둘째 문장은 그보다 조금 더 깁니다.", "첫 문장은 짧습니다. …"),
        (19, "끝이 없는 한 문장이 이어지고 또 이어집니다", "끝이 없는 한 문장이 이어지고 또 …"),
        (30, "먼저 신청합니다.\n서류는 아래와 같습니다.\n· 사업자등록증과 통장 사본", "먼저 신청합니다. …"),
        (36, "값을 정합니다. 두 가지 방법이 있습니다.\n· 선택형\n· 구매자가 직접 적음", "값을 정합니다. …"),
    ],
)
def test_glimpse_shows_whole_sentences_and_says_that_it_goes_on(most: int, answer: str, shown: str) -> None:
    assert glimpse(answer, most) == shown


def test_glimpse_has_the_length_it_is_given() -> None:
    answer = "\n".join(f"{n}번째 줄입니다." for n in range(60))
    assert 200 < len(glimpse(answer)) <= GLIMPSE_CHARS + 2
    assert glimpse(answer).endswith(" …")
