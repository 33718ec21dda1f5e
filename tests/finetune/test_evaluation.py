"""The verdict with its intervals, and case files by name; measuring is tested beside `smartstore eval`."""

from pathlib import Path

import pytest

from finetune.errors import DataError
from finetune.judging.evaluation import case_files
from finetune.judging.verdict import judge


def test_judge_keeps_what_is_not_surely_better() -> None:
    even = [1.0, 0.0] * 10
    assert judge({"answers": even}, {"answers": even})["verdict"] == "keep"
    slightly = [1.0, *even[1:]]
    assert judge({"answers": even}, {"answers": slightly})["verdict"] == "keep"


def test_judge_keeps_what_is_surely_worse_at_anything() -> None:
    better, worse = [0.0] * 20, [1.0] * 20
    judged = judge({"answers": better, "scope": worse}, {"answers": worse, "scope": better})
    assert judged["verdict"] == "keep"
    assert "scope" in judged["reason"]
    assert judge({"answers": better}, {"answers": worse})["verdict"] == "promote"


def test_case_files_are_found_by_what_measures_them(tmp_path: Path) -> None:
    for name in ("scope.jsonl", "real_answers.jsonl", "answers.jsonl", "dialogues.jsonl"):
        (tmp_path / name).write_text("", encoding="utf-8")
    found = [file.name for file in case_files(tmp_path)]
    assert found == ["answers.jsonl", "real_answers.jsonl", "scope.jsonl"]
    with pytest.raises(DataError, match="neither"):
        case_files(tmp_path / "leer")
