"""Feedback becomes training data: corrections, thumbs and pairs; FAQs held out stay out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from finetune.data.feedback import read_feedback, write_feedback
from finetune.errors import DataError


def turn(
    question: str, answer: str, *, rating: str | None = None, faq: str = "f1", **fields: Any
) -> dict[str, Any]:
    sources = [{"n": 1, "faq_id": faq, "question": "제목"}]
    row = {"standalone": question, "answer": answer, "rating": rating, "sources": sources, "correction": None}
    return row | fields


def exported(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "turns.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def test_thumbs_corrections_and_pairs_become_rows(tmp_path: Path) -> None:
    path = exported(
        tmp_path,
        turn("정산 언제 돼요?", "내일입니다[1].", rating="up"),
        turn("정산  언제 돼요?", "모릅니다.", rating="down"),
        turn(
            "드론 되나요?",
            "못 찾았습니다.",
            rating="down",
            correction={"question": "드론", "answer": "안 됩니다."},
        ),
        turn("아무 말", "답"),
        turn("빼 둔 질문", "답", rating="up", faq="held"),
    )
    found = read_feedback(path, validation=frozenset({"held"}), system="지침")
    assert [row["label"] for row in found.kto] == [True, False, False]
    assert found.kto[0]["prompt"] == [
        {"role": "system", "content": "지침"}, {"role": "user", "content": "정산 언제 돼요?"},
    ]  # fmt: skip
    assert [row["messages"][-1]["content"] for row in found.sft] == ["안 됩니다."]
    pairs = {(row["chosen"][0]["content"], row["rejected"][0]["content"]) for row in found.dpo}
    assert pairs == {("내일입니다[1].", "모릅니다."), ("안 됩니다.", "못 찾았습니다.")}
    assert found.dropped == {"validation": 1, "no word on it": 1}
    assert write_feedback(found, tmp_path / "out") == {"sft": 1, "kto": 3, "dpo": 2}
    assert len((tmp_path / "out/history-kto.jsonl").read_text("utf-8").splitlines()) == 3


def test_file_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 1 lacks"):
        read_feedback(exported(tmp_path, {"question": "가"}), validation=frozenset(), system="")
    with pytest.raises(DataError, match="smartstore history export"):
        read_feedback(tmp_path / "none.jsonl", validation=frozenset(), system="")
