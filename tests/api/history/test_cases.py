"""Evaluation cases out of what people said."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from api.history.cases import retrieval_cases
from api.history.export import corrected, csv_lines
from retrieval.edits.overlay import Entry


async def rows(*turns: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    for number, turn in enumerate(turns):
        yield {
            "id": f"t{number}", "standalone": "질문", "answer": "답[2]", "verdict": "answered",
            "rating": None,
            "sources": [{"n": 1, "question": "첫째"}, {"n": 2, "question": "둘째"}],
        } | turn  # fmt: skip


async def test_thumbs_up_and_corrections_become_cases(tmp_path: Any) -> None:
    turns = rows(
        {"standalone": "가", "rating": "up"},
        {"standalone": "가", "rating": "up", "answer": "더 오래된 답[1]"},
        {"standalone": "나", "rating": "down"},
        {"standalone": "다", "verdict": "not_found"},
    )
    corrections = {"t3": Entry("새 FAQ", "답")}
    cases = [case async for case in retrieval_cases(corrected(turns, corrections))]
    found = [(case["query"], case["gold_questions"]) for case in cases]
    assert found == [("가", ["둘째"]), ("다", ["새 FAQ"])]


async def test_formula_of_a_spreadsheet_is_defused() -> None:
    full = {
        "session_id": "", "started_ms": 0, "ended_ms": 5, "channel": "api", "question": "=1+1",
        "status": "completed",
        "provider": "-x", "model": "", "reason": None, "comment": "@SUM(A1)",
    }  # fmt: skip
    lines = [line async for line in csv_lines(rows(full))]
    assert lines[0].startswith("\ufeffid,")
    assert ",'=1+1," in lines[1]
    assert ",'-x," in lines[1]
    assert ",'@SUM(A1)," in lines[1]
