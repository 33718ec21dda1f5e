"""Cleaning answers: the site's frame goes, the lines come back, numbers and paths stay whole."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.corpus.cleaning import clean_answer, clean_title

NBSP = "\u00a0"
RATING = (
    "\n\n\n위 도움말이 도움이 되었나요?\n\n별점1점\n\n소중한 의견을 남겨주시면 보완하겠습니다."
    "\n\n보내기\n\n\n\n"
)


def lines(raw: str) -> list[str]:
    return clean_answer(raw).text.split("\n")


def test_cleaning_strips_the_frame_and_keeps_related_questions() -> None:
    related = f"관련 도움말/키워드\n\n꽃다발도 되나요?\n#화{NBSP}분\n꽃다발도 되나요?\n\n\n도움말 닫기"
    raw = f"화분은 직접 배달합니다.{NBSP}{RATING}{related}"
    answer = clean_answer(raw)
    assert answer.text == "화분은 직접 배달합니다."
    assert answer.related == ("꽃다발도 되나요?", "#화 분")


def test_cleaning_strips_the_frame_without_related_questions() -> None:
    answer = clean_answer(f"화분은 직접 배달합니다.{RATING}도움말 닫기")
    assert (answer.text, answer.related) == ("화분은 직접 배달합니다.", ())


def test_cleaning_strips_a_frame_without_rating() -> None:
    answer = clean_answer(
        "화분은 직접 배달합니다.\n\n관련 도움말/키워드\n\n꽃다발도 되나요?\n\n도움말 닫기\n"
    )
    assert (answer.text, answer.related) == ("화분은 직접 배달합니다.", ("꽃다발도 되나요?",))
    assert clean_answer("관련 도움말/키워드 메뉴를 봅니다.").text == "관련 도움말/키워드 메뉴를 봅니다."


def test_cleaning_makes_invisible_characters_plain() -> None:
    assert clean_answer(f"\ufeff흙은{NBSP}두\u200b 포대\u00ad입니다.\u200b").text == "흙은 두 포대입니다."
    assert clean_title(f" \ufeff[흙]{NBSP}{NBSP}몇\u200b 포대\n인가요? ") == "[흙] 몇 포대 인가요?"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("흙을 담습니다.물을 줍니다.", ["흙을 담습니다.", "물을 줍니다."]),
        ("분갈이란?화분을 바꾸는 일입니다.", ["분갈이란?", "화분을 바꾸는 일입니다."]),
        ("물을 줍니다.이에 잎이 자랍니다.", ["물을 줍니다.", "이에 잎이 자랍니다."]),
        ("봄에 심습니다.2주 뒤에 싹이 납니다.", ["봄에 심습니다.", "2주 뒤에 싹이 납니다."]),
        (
            "정원을 엽니다.[예약 > 새 예약]에서 고릅니다.",
            ["정원을 엽니다.", "[예약 > 새 예약]에서 고릅니다."],
        ),
        ("물을 줍니다. 볕을 쬡니다.", ["물을 줍니다. 볕을 쬡니다."]),
        ("물을 줍니다.(겨울 제외)볕을 쬡니다.", ["물을 줍니다. (겨울 제외)", "볕을 쬡니다."]),
        ("(물을 줍니다.볕을 쬡니다.)", ["(물을 줍니다. 볕을 쬡니다.)"]),
        ("'이미 심었습니다.'라는 문구가 보입니다.", ["'이미 심었습니다.'라는 문구가 보입니다."]),
    ],
)
def test_cleaning_parts_glued_sentences(raw: str, expected: list[str]) -> None:
    assert lines(raw) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (
            "심는 방법1. 흙을 담아요2. 씨를 심어요3. 물을 줘요",
            ["심는 방법", "1. 흙을 담아요", "2. 씨를 심어요", "3. 물을 줘요"],
        ),
        ("순서는 이렇습니다.1)흙 담기2)씨 심기", ["순서는 이렇습니다.", "1) 흙 담기", "2) 씨 심기"]),
        ("순서① 흙을 담아요② 씨를 심어요", ["순서", "① 흙을 담아요", "② 씨를 심어요"]),
        (
            "준비합니다.STEP 1. 흙을 담아요STEP 2. 씨를 심어요",
            ["준비합니다.", "STEP 1. 흙을 담아요", "STEP 2. 씨를 심어요"],
        ),
        ("처리 기준1단계 : 경고2단계 : 중지", ["처리 기준", "1단계 : 경고", "2단계 : 중지"]),
        ("준비물· 흙· 물뿌리개", ["준비물", "· 흙", "· 물뿌리개"]),
        ("준비물입니다.- 흙- 물뿌리개", ["준비물입니다.", "· 흙", "· 물뿌리개"]),
        (f"준비물{NBSP}·{NBSP}흙{NBSP}·{NBSP}물", ["준비물", "· 흙", "· 물"]),
        ("물을 줍니다.※ 참고.· 겨울은 쉽니다.", ["물을 줍니다.", "※ 참고.", "· 겨울은 쉽니다."]),
        ("물을 줍니다.※참고 - 겨울은 쉽니다.", ["물을 줍니다.", "※ 참고. 겨울은 쉽니다."]),
        ("물을 줍니다.! 주의.겨울은 쉽니다.", ["물을 줍니다.", "※ 주의. 겨울은 쉽니다."]),
        ("할인이 됩니다.예시) 흙 두 포대", ["할인이 됩니다.", "예시) 흙 두 포대"]),
        ("심습니다.■ 여름물을 줍니다.", ["심습니다.", "", "■ 여름물을 줍니다."]),
        ("됩니다.Q. 겨울에도요?A. 네, 됩니다.", ["됩니다.", "", "Q. 겨울에도요?", "A. 네, 됩니다."]),
        ("서류 1부[개인]· 신분증", ["서류 1부", "", "[개인]", "· 신분증"]),
    ],
)
def test_cleaning_restores_lists_and_notes(raw: str, expected: list[str]) -> None:
    assert lines(raw) == expected


def test_cleaning_sets_dashes_below_the_list_they_stand_in() -> None:
    raw = "1. 흙을 고릅니다.- 마사토- 상토2. 심습니다."
    assert lines(raw) == ["1. 흙을 고릅니다.", "  · 마사토", "  · 상토", "2. 심습니다."]


def test_cleaning_makes_a_paragraph_of_a_wide_gap() -> None:
    raw = f"물을 줍니다.{NBSP * 9} 분갈이 방법1. 흙을 담아요2. 심어요"
    assert lines(raw) == ["물을 줍니다.", "", "분갈이 방법", "1. 흙을 담아요", "2. 심어요"]


@pytest.mark.parametrize(
    "whole",
    [
        "이율은 3.5%이고 기간은 2022.04.01 ~ 2022.04.14입니다.",
        "값은 1,000원에서 2.5배로 오릅니다.",
        "날짜는 2023. 06. 29 이후입니다.",
        "앱 3.0 버전과 v2.1 버전을 씁니다.",
        "[정원 관리 > 화분 > 1) 목록] 메뉴에서 봅니다.",
        "주소는 https://garden.example.com/a.b/c?x=1.2&y=3)입니다.",
        "문의는 green.thumb@garden.co.kr 로 보냅니다.",
        "화분목록.xlsx 파일과 사진.jpg 파일을 올립니다.",
        "이·미용 도구와 표시·광고를 봅니다.",
        "전화는 02-1234-5678, 시간은 09:00~18:00입니다.",
        "큰 화분 - 작은 화분의 차이는 2-3cm입니다.",
        "앞의 ①번과 ② ~ ③ 항목을 봅니다.",
        "흙 5포대를 1회 / 1인 기준으로 삽니다.",
    ],
)
def test_cleaning_leaves_numbers_paths_and_addresses_whole(whole: str) -> None:
    assert clean_answer(whole).text == whole


@pytest.mark.parametrize(
    ("raw", "text", "related"),
    [
        ("심으면 됩니다.심기 안내 바로가기》", "심으면 됩니다.", ()),
        ("심으면 됩니다. 심기 안내 보러 가기》물을 줍니다.", "심으면 됩니다.\n물을 줍니다.", ()),
        ("심으면 됩니다.온라인으로 배우는 화분 고르기(☞ 새 창으로 열기)", "심으면 됩니다.", ()),
        ("심으면 됩니다.흙은 어디서 사나요?》", "심으면 됩니다.", ("흙은 어디서 사나요?",)),
        ("· 모종 신청서 1부 (이름 기재)모종 신청서 다운로드》", "· 모종 신청서 1부 (이름 기재)", ()),
        ("· 모종 신청서 사본 1부모종 신청서 다운로드》", "· 모종 신청서 사본 1부", ()),
        (
            "문의처입니다.■ 초록화원 바로가기》■ 푸른농원 바로가기》",
            "문의처입니다.\n\n■ 초록화원\n■ 푸른농원",
            (),
        ),
        ("화원 이용약관 바로 가기》", "화원 이용약관 바로 가기", ()),
    ],
)
def test_cleaning_takes_links_out(raw: str, text: str, related: tuple[str, ...]) -> None:
    answer = clean_answer(raw)
    assert (answer.text, answer.related) == (text, related)


def test_cleaning_has_at_most_one_blank_line_and_none_at_the_ends() -> None:
    assert clean_answer("\n\n물을 줍니다.\n\n\n\n볕을 쬡니다.\n\n").text == "물을 줍니다.\n\n볕을 쬡니다."


PIECES = st.sampled_from(
    (
        "물을 줍니다. ", "볕을", " 쬐나요?", "흙", "가.", "메뉴", "에서", "단, ", ",", "3.5%", "2022.04.01",
        "1.", "2.", "3)", "(1)", "①", "②", "STEP 1.", "1단계 :", "Case 2", "Q.", "A.", "Q1)",
        "·", "-", "->", "→", "*", "ㄴ", "└", "■", "▶", "○", "○○", "-----", "예시)", "예)", "ex)",
        "※", "※ 참고.", "! 주의.", "☞", "》", "≫", "《", "바로가기", "보기》", "(☞ 새 창으로 열기)",
        "온라인으로 배우는",
        "[", "]", "(", ")", "<", ">", "'", '"', "‘", "’", "https://a.kr/b.c", "a@b.kr",
        "\u00a0", "\u00a0\u00a0", "  ", "    ", "\t", "\n", "\n\n", "\r\n", "\u2028", "\u200b",
        "\x00", "\ud800",
        "위 도움말이 도움이 되었나요?", "\n관련 도움말/키워드", "도움말 닫기",
    )
)  # fmt: skip


@settings(max_examples=600, deadline=None)
@given(st.lists(PIECES, max_size=25).map("".join) | st.text(max_size=80))
def test_cleaning_never_raises_and_is_idempotent(raw: str) -> None:
    once = clean_answer(raw).text
    assert clean_answer(once).text == once
    assert "\n\n\n" not in once
    assert "\u00a0" not in once
    assert "\u200b" not in once
    assert once == once.strip("\n")
    assert not any(line != line.rstrip() for line in once.split("\n"))
