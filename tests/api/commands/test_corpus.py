"""`smartstore corpus`."""

import csv
from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.commands.corpus import app
from retrieval.corpus.faq import read_corpus
from retrieval.errors import CorpusError

ROWS = [("질문", "답변", "비고"), ("정산?", "내일.모레.", "가"), ("정산?", "글피.", "나")]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "faq.csv"
    with path.open("w", encoding="cp949", newline="") as file:
        csv.writer(file).writerows(ROWS)
    return path


def test_convert_writes_what_the_table_says_and_tells_what_is_left_out(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "faq.jsonl"
    result = CliRunner().invoke(app, ["convert", str(table), str(out)], catch_exceptions=False)
    assert result.exit_code == 0
    assert [faq.answer for faq in read_corpus(out).faqs] == ["내일.모레."]
    assert "정산? (line 2 is kept; line 3, with another answer, is left out)" in result.output
    assert "whose names mean nothing here: 비고" in result.output
    assert f"1 FAQs written to {out}" in result.output


def test_clean_breaks_run_on_lines(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "faq.jsonl"
    CliRunner().invoke(app, ["clean", str(table), str(out)], catch_exceptions=False)
    assert [faq.answer for faq in read_corpus(out).faqs] == ["내일.\n모레."]


def test_what_cannot_be_written_is_told(table: Path, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="Write"):
        CliRunner().invoke(app, ["clean", str(table), str(tmp_path / "faq.doc")], catch_exceptions=False)
