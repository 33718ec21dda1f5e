"""Case files, measures and comparisons of `smartstore eval`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from api.evaluation.ablation import Step, table, write_section
from api.evaluation.compare import compare, read_report
from api.evaluation.retrieval import (
    RankedCase,
    RetrievalCase,
    check_gold,
    read_retrieval_cases,
    summarize_retrieval,
)
from api.evaluation.rows import CasesError
from retrieval.corpus.faq import faq_id

ROW: dict[str, Any] = {
    "id": "q1",
    "query": "정산 언제 들어와?",
    "style": "casual",
    "gold": [3],
    "gold_questions": ["정산은 언제 되나요?"],
}


def _file(tmp_path: Path, *rows: object) -> Path:
    path = tmp_path / "cases.jsonl"
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def _ranked(id: str, style: str, found: tuple[str, ...]) -> RankedCase:
    return RankedCase(RetrievalCase(id, "질문", style, ("gold",), ("제목",)), found, found[:3], 20.0)


def test_cases_name_gold_by_title_whatever_its_spacing(tmp_path: Path) -> None:
    case = read_retrieval_cases(_file(tmp_path, ROW))[0]
    assert case.gold == (faq_id("정산은\u00a0언제  되나요?"),)
    assert (case.id, case.style) == ("q1", "casual")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["{"], "line 1: no JSON"),
        ([ROW, "[1]"], "line 2: expected an object"),
        ([ROW, {**ROW, "id": "q2", "query": "  "}], "line 2: 'query'"),
        ([{**ROW, "gold_questions": []}], "line 1: 'gold_questions'"),
        ([{**ROW, "gold_questions": "정산"}], "line 1: 'gold_questions'"),
        ([{**ROW, "style": 3}], "line 1: 'style'"),
        ([ROW, ROW], "line 2: id 'q1' occurs twice"),
        ([""], "holds no case"),
    ],
)
def test_malformed_cases_name_the_line(tmp_path: Path, rows: list[object], message: str) -> None:
    with pytest.raises(CasesError, match=message):
        read_retrieval_cases(_file(tmp_path, *rows))


def test_missing_case_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(CasesError, match="cannot be read") as caught:
        read_retrieval_cases(tmp_path / "none.jsonl")
    assert "\n" not in str(caught.value)


def test_gold_of_another_corpus_is_told(tmp_path: Path) -> None:
    path = _file(tmp_path, ROW)
    cases = read_retrieval_cases(path)
    check_gold(cases, [faq_id("정산은 언제 되나요?")], path)
    with pytest.raises(CasesError, match="--faq"):
        check_gold(cases, ["000000000000"], path)


def test_summary_of_retrieval_has_measures_styles_and_cases() -> None:
    ranked = [
        _ranked("a", "casual", ("gold", "x")),
        _ranked("b", "casual", ("x", "gold")),
        _ranked("c", "typo", ("x", "y")),
    ]
    report = summarize_retrieval(ranked)
    assert report["cases"] == 3
    assert report["recall@1"] == pytest.approx(1 / 3)
    assert report["recall@3"] == pytest.approx(2 / 3)
    assert report["mrr"] == pytest.approx(0.5)
    assert report["by_style"]["typo"]["recall@10"] == 0.0
    assert report["latency_ms"] == {"p50": 20.0, "p95": 20.0}
    assert [row["rank"] for row in report["per_case"]] == [1, 2, None]


def test_compare_pairs_cases_by_id(tmp_path: Path) -> None:
    for name, ranks in (("a", [1, 2, None, 1]), ("b", [1, 1, 2, 1])):
        rows = [{"id": str(n), "rank": rank, "passed": rank == 1} for n, rank in enumerate(ranks)]
        (tmp_path / name).write_text(json.dumps({"cases": 4, "per_case": rows[::-1]}), encoding="utf-8")
    found = {d.measure: d for d in compare(read_report(tmp_path / "a"), read_report(tmp_path / "b"))}
    assert (found["recall@1"].a, found["recall@1"].b) == (0.5, 0.75)
    assert found["mrr"].change.mean == pytest.approx((0 + 0.5 + 0.5 + 0) / 4)
    assert found["passed"].cases == 4


def test_compare_refuses_what_is_no_report(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"cases": 3}', encoding="utf-8")
    with pytest.raises(CasesError, match="per_case"):
        read_report(path)
    with pytest.raises(CasesError, match="no case"):
        compare({"1": {"mrr": 1.0}}, {"2": {"mrr": 1.0}})


def test_ablation_table_marks_what_is_no_chance_and_replaces_itself(tmp_path: Path) -> None:
    worse, better = Step("단어", (1, 3) * 40), Step("형태소", (1, 1) * 40, "단어")
    text = table([worse, better])
    assert "| 단어 | 0.500 (" in text
    assert "**+0.500 (" in text
    path = tmp_path / "docs" / "quality.md"
    write_section(path, "## 첫 표", text)
    path.write_text(path.read_text(encoding="utf-8") + "\n## 다른 글\n", encoding="utf-8")
    write_section(path, "## 새 표", text)
    written = path.read_text(encoding="utf-8")
    assert "첫 표" not in written
    assert written.count("| 형태소 |") == 1
    assert written.endswith("## 다른 글\n")
