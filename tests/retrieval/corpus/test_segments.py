"""Taking a cleaned answer apart and putting a choice of it together again."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.corpus.cleaning import clean_answer
from retrieval.corpus.segments import join_segments, segments, split_sentences

ANSWER = """분갈이는 봄에 합니다. 겨울에는 쉽니다.

분갈이 방법
1. 흙을 담습니다. 절반만 담아 주세요.
  · 마사토 또는 상토
2. 심습니다.
※ 참고. 물은 다음 날 줍니다.

■ 준비물
· 화분 (배수 구멍이 있는 것)

[필수 도구]
예시) 모종삽"""


def test_segments_have_kind_level_marker_and_text() -> None:
    found = [(s.kind, s.level, s.marker, s.text) for s in segments(ANSWER)]
    assert found == [
        ("paragraph", 0, "", "분갈이는 봄에 합니다."),
        ("paragraph", 0, "", "겨울에는 쉽니다."),
        ("heading", 0, "", "분갈이 방법"),
        ("step", 0, "1.", "흙을 담습니다."),
        ("step", 0, "", "절반만 담아 주세요."),
        ("bullet", 1, "·", "마사토 또는 상토"),
        ("step", 0, "2.", "심습니다."),
        ("note", 0, "※ 참고.", "물은 다음 날 줍니다."),
        ("heading", 0, "■", "준비물"),
        ("bullet", 0, "·", "화분 (배수 구멍이 있는 것)"),
        ("heading", 0, "", "[필수 도구]"),
        ("note", 0, "예시)", "모종삽"),
    ]


def test_segments_of_one_item_share_its_number() -> None:
    found = segments(ANSWER)
    assert [s.index for s in found] == list(range(len(found)))
    assert [s.item for s in found] == [0, 0, 1, 2, 2, 3, 4, 5, 6, 7, 8, 9]


def test_segments_join_to_the_lines_they_came_from() -> None:
    assert join_segments(segments(ANSWER)) == "\n".join(line for line in ANSWER.split("\n") if line)


def test_segments_join_keeps_a_list_item_whose_first_sentence_was_left_out() -> None:
    chosen = [s for s in segments(ANSWER) if s.text in ("절반만 담아 주세요.", "겨울에는 쉽니다.")]
    assert join_segments(chosen) == "겨울에는 쉽니다.\n· 절반만 담아 주세요."


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


def test_segments_see_a_table_in_a_run_of_cells() -> None:
    assert {s.kind for s in segments("구분\n크기\n값\n큰 화분\n30cm\n9천원")} == {"table"}
    assert {s.kind for s in segments("구분 | 크기 | 값\n큰 화분 | 30cm | 9천원")} == {"table"}
    assert {s.kind for s in segments("큰 화분 크기 값 " * 20)} == {"table"}


def test_segments_of_nothing_are_none() -> None:
    assert segments("") == ()
    assert join_segments(()) == ""


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                "물을 줍니다.",
                "볕 ",
                "1. ",
                "· ",
                "※ 참고. ",
                "\n",
                "\n\n",
                "(겨울)",
                "예시) ",
                "Q. ",
                "[도구]",
                "■ ",
                " 3.5% ",
            ]
        ),
        max_size=20,
    ).map("".join)
    | st.text(max_size=60)
)
def test_segments_lose_no_text_of_a_cleaned_answer(raw: str) -> None:
    text = clean_answer(raw).text
    joined = join_segments(segments(text))
    assert "".join(joined.split()) == "".join(text.split())
