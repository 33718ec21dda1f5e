"""Where a sentence ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.corpus.sentences import split_sentences


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("물을 줍니다. 볕을 쬡니다! 잘 자라나요?", ["물을 줍니다.", "볕을 쬡니다!", "잘 자라나요?"]),
        ("물을 줍니다. (겨울 제외) 볕을 쬡니다.", ["물을 줍니다. (겨울 제외)", "볕을 쬡니다."]),
        (
            "농도는 3.5%, 날짜는 2023. 06. 29 입니다. 끝입니다.",
            ["농도는 3.5%, 날짜는 2023. 06. 29 입니다.", "끝입니다."],
        ),
        (
            "화분(큰 것. 작은 것. 중간 것)을 고릅니다. 심습니다.",
            ["화분(큰 것. 작은 것. 중간 것)을 고릅니다.", "심습니다."],
        ),
        ("No. 3 화분입니다. 가. 흙 나. 물", ["No. 3 화분입니다.", "가. 흙 나. 물"]),
        ("'심었습니다.' 문구가 보입니다.", ["'심었습니다.' 문구가 보입니다."]),
        ("마침표 없는 문장", ["마침표 없는 문장"]),
        ("", []),
    ],
)
def test_sentences_are_split_at_their_ends_only(text: str, sentences: list[str]) -> None:
    assert list(split_sentences(text)) == sentences


@given(st.text(alphabet="가나다 .?!()[]'1a\u201d", max_size=80))
def test_sentences_lose_no_text(text: str) -> None:
    assert "".join("".join(split_sentences(text)).split()) == "".join(text.split())
