"""Reading expansions: both line formats, folders, and bad lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from retrieval.corpus.expansions import read_expansions, read_questions
from retrieval.corpus.faq import faq_id
from retrieval.errors import CorpusError


def write(path: Path, *rows: Any) -> Path:
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    return path


def test_expansions_take_id_or_raw_question(tmp_path: Path) -> None:
    title = "[배송]\u00a0출고는 며칠 걸리나요?"
    path = write(
        tmp_path / "expansions.jsonl",
        {"id": "0123456789ab", "queries": ["교환 되나", "교환\u00a0 방법"]},
        {"row": 0, "question": title, "queries": ["언제 보내주나요"]},
    )
    assert read_expansions(path) == {
        "0123456789ab": ("교환 되나", "교환 방법"),
        faq_id(title): ("언제 보내주나요",),
    }


def test_questions_name_all_faqs_they_stand_under(tmp_path: Path) -> None:
    path = write(
        tmp_path / "written.jsonl",
        {"id": "0123456789ab", "queries": ["언제 줘요", "교환 되나"]},
        {"id": "ba9876543210", "queries": ["언제 줘요"]},
    )
    assert read_questions(path) == {
        "언제 줘요": ("0123456789ab", "ba9876543210"),
        "교환 되나": ("0123456789ab",),
    }


def test_expansions_of_a_folder_are_joined_without_repeats(tmp_path: Path) -> None:
    write(tmp_path / "b.jsonl", {"id": "0123456789ab", "queries": ["둘", "하나"]})
    write(tmp_path / "a.jsonl", {"id": "0123456789ab", "queries": ["하나"]})
    (tmp_path / "readme.txt").write_text("읽지 않음", encoding="utf-8")
    assert read_expansions(tmp_path) == {"0123456789ab": ("하나", "둘")}


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"id": "0123456789ab"}, '"queries" must name at least one query'),
        ({"id": "0123456789ab", "queries": []}, '"queries" must name at least one query'),
        ({"id": "0123456789ab", "queries": ["  "]}, "none of them blank"),
        ({"id": "0123456789ab", "queries": "하나"}, '"queries" must be a list of strings'),
        ({"id": "xyz", "queries": ["하나"]}, "\"id\" must be 12 hex digits, not 'xyz'"),
        ({"row": 3, "queries": ["하나"]}, 'there is neither "id" nor "question"'),
        ({"question": "\ud800", "queries": ["하나"]}, "surrogates not allowed"),
        (["하나"], "is not a JSON object"),
    ],
)
def test_expansions_name_the_bad_line(tmp_path: Path, row: Any, told: str) -> None:
    path = tmp_path / "expansions.jsonl"
    good = json.dumps({"id": "0123456789ab", "queries": ["하나"]})
    path.write_text(f"{good}\n\n{json.dumps(row)}\n", encoding="utf-8")
    with pytest.raises(CorpusError) as caught:
        read_expansions(path)
    assert caught.value.reason.startswith("line 3")
    assert told in caught.value.reason


def test_expansions_refuse_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"holds no \.jsonl file"):
        read_expansions(tmp_path)
    with pytest.raises(CorpusError, match="does not exist"):
        read_expansions(tmp_path / "expansions.jsonl")
