"""Scoring of answers, by hand-computed cases."""

import json
from pathlib import Path

import pytest

from api.evaluation.answers import (
    AnswerCase,
    announces_in_vain,
    answer_alone,
    begins_in_the_middle,
    count_uncited,
    judge_answer,
    judge_answers,
    read_answer_cases,
    summarize_answers,
)
from api.evaluation.rows import CasesError
from retrieval.prompt import LEFT_OUT, NOT_FOUND
from retrieval.scope.fixed_answers import UNSURE

CASE = AnswerCase(
    "a1", "정산은 언제 되나요?", (0,), (("다음 날", "re:익\\s*일"), ("re:1\\s*영업일",)), ("바로 정산",)
)
ROW = {"id": "a1", "query": "정산?", "gold": [3], "facts": [["익일"]], "forbidden": ["즉시"]}


def test_answer_with_all_facts_passes() -> None:
    assert judge_answer(CASE, "구매확정 익 일, 곧 1영업일 뒤입니다. [1]").passed


def test_one_missing_fact_fails_the_answer() -> None:
    judged = judge_answer(CASE, "구매확정 다음 날 정산됩니다. [1]")
    assert judged.missing == (("re:1\\s*영업일",),)
    assert not judged.passed


def test_forbidden_statement_fails_the_answer() -> None:
    assert judge_answer(CASE, "다음 날(1영업일) 또는 바로 정산됩니다.").said == ("바로 정산",)


def test_fact_is_found_across_a_citation() -> None:
    assert not judge_answer(CASE, "다음 날 [1] 1 [2]영업일").missing


def test_facts_in_sources_or_followups_do_not_count() -> None:
    answer = "모르겠습니다.\n\n출처:\n- 정산은 익일, 1영업일"
    assert answer_alone(answer) == "모르겠습니다."
    assert len(judge_answer(CASE, answer).missing) == 2


def test_summary_is_computed_over_all_answers() -> None:
    good = judge_answer(CASE, "익일, 1영업일입니다. [1]")
    bad = judge_answer(CASE, "바로 정산됩니다. 익일입니다.")
    report = summarize_answers([good, bad, good])
    assert report["cases"] == 3
    assert report["all_facts"] == pytest.approx(2 / 3)
    assert report["facts"] == pytest.approx(5 / 6)
    assert report["forbidden"] == pytest.approx(1 / 3)
    assert report["uncited"] == pytest.approx(1 / 3)
    assert report["median_chars"] == len(good.answer)
    assert [one["passed"] for one in report["per_case"]] == [True, False, True]


def test_summary_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no answer"):
        summarize_answers([])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("가능합니다. [1] 무료입니다. [1]", (2, 0)),
        ("가능합니다. 무료입니다. [1]", (1, 0)),
        ("무료입니다.\n\n가능합니다. [1]", (2, 1)),
        ("가능합니다 [1]. 무료입니다", (2, 1)),
        ("조건은 이렇습니다. [1]\n제출 서류:\n· 사본. 원본도 됩니다.\n· 통장 [1]", (2, 0)),
        ("제출 서류:\n· 사본. 원본도 됩니다. [1]\n· 통장", (2, 1)),
        ("1) 메뉴에 들어갑니다. [1][2]\n※ 무료입니다. [1]", (2, 0)),
        (NOT_FOUND, (0, 0)),
        (UNSURE, (0, 0)),
        (f"{UNSURE}\n\n**무료인가요?**\n가능합니다. … [1]", (1, 0)),
        (f"{UNSURE} 무료입니다.", (1, 1)),
        ("", (0, 0)),
    ],
)
def test_uncited_counts_what_no_citation_closes(text: str, expected: tuple[int, int]) -> None:
    assert count_uncited(text) == expected


@pytest.mark.parametrize(
    ("text", "vain"),
    [
        ("서류는 아래와 같습니다. [1]", True),
        ("서류는 아래와 같습니다.\n· 신분증 [1]", False),
        ("세 가지 방법이 있습니다.\n1. 앱\n2. 웹 [1]", True),
        ("세 가지 방법이 있습니다.\n1. 앱\n2. 웹\n3. 전화 [1]", False),
        (f"세 가지 방법이 있습니다.\n1. 앱 [1]\n\n{LEFT_OUT} [1]", False),
        (f"서류는 다음과 같습니다. [1]\n\n{LEFT_OUT} [1]", True),
        ("제출 서류:", True),
        ("다음 날 정산됩니다. [1]", False),
        ("1~2가지 항목만 보입니다. [1]", False),
        ("", False),
    ],
)
def test_announced_list_must_be_there(text: str, vain: bool) -> None:
    assert announces_in_vain(text) is vain


@pytest.mark.parametrize(
    ("text", "middle"),
    [
        ("· 신분증 [1]", True),
        ("3. 저장합니다. [1]", True),
        (") 가능합니다. [1]", True),
        ("을 누릅니다. [1]", True),
        ("1. 메뉴를 엽니다. [1]", False),
        ("은행에서 발급합니다. [1]", False),
        ("2023년부터 됩니다. [1]", False),
    ],
)
def test_answer_must_not_begin_in_the_middle(text: str, middle: bool) -> None:
    assert begins_in_the_middle(text) is middle


def test_summary_counts_broken_answers() -> None:
    report = summarize_answers([judge_answer(CASE, "· 아래와 같습니다."), judge_answer(CASE, "됩니다.")])
    assert (report["announced_missing"], report["begins_in_middle"]) == (1, 1)


async def test_questions_are_answered_in_order() -> None:
    async def echo(question: str) -> str:
        return question

    judged = [one async for one in judge_answers([CASE, CASE], echo)]
    assert [one.answer for one in judged] == [CASE.query, CASE.query]


def test_case_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "cases.jsonl"
    path.write_text(json.dumps(ROW, ensure_ascii=False) + "\n\n", encoding="utf-8")
    assert read_answer_cases(path) == (AnswerCase("a1", "정산?", (3,), (("익일",),), ("즉시",)),)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"query": " "}, "not blank"),
        ({"facts": [[]]}, "no alternative"),
        ({"facts": "익일"}, "must be a list"),
        ({"facts": [["re:("]]}, "line 1"),
        ({"forbidden": ["["]}, "line 1"),
        ({"gold": [True]}, "row numbers"),
        ({"gold": [-1]}, "row numbers"),
        ({"id": None}, "must be a text"),
    ],
)
def test_malformed_case_is_named(tmp_path: Path, change: dict[str, object], reason: str) -> None:
    path = tmp_path / "cases.jsonl"
    path.write_text(json.dumps(ROW | change), encoding="utf-8")
    with pytest.raises(CasesError, match=reason) as caught:
        read_answer_cases(path)
    assert "\n" not in str(caught.value)
    assert "line 1" in str(caught.value)


@pytest.mark.parametrize("content", ["", "{", '{"id": "a"}', "[1]"])
def test_broken_case_file_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "cases.jsonl"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(CasesError, match=r"cases\.jsonl"):
        read_answer_cases(path)


def test_missing_case_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CasesError, match="cannot be read"):
        read_answer_cases(tmp_path / "none.jsonl")
