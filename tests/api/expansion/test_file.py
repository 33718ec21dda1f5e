"""The file of an expansion job: what it holds survives any end of the process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from api.errors import Conflict
from api.expansion.file import ExpansionFile
from retrieval.corpus.expansions import read_expansions
from retrieval.errors import CorpusError

A, B = "0123456789ab", "ba9876543210"
QUERIES = ("교환은 어디서 눌러요?", "교환 접수")


def test_file_reads_as_expansions_and_knows_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "새 폴더" / "out.jsonl"
    with ExpansionFile(path) as file:
        file.add(A, QUERIES)
        assert read_expansions(path) == {A: QUERIES}
    with ExpansionFile(path) as file:
        assert file.done == {A}
        file.add(B, QUERIES)
    assert read_expansions(path) == {A: QUERIES, B: QUERIES}


@pytest.mark.parametrize("cut", [1, 8, 30, 50])
def test_half_a_line_of_a_killed_run_is_taken_off(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "out.jsonl"
    with ExpansionFile(path) as file:
        file.add(A, QUERIES)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:cut])
    with ExpansionFile(path) as file:
        file.add(B, QUERIES)
    assert read_expansions(path) == {A: QUERIES, B: QUERIES}


def test_last_line_without_its_end_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text(json.dumps({"id": A, "queries": ["교환 접수"]}), encoding="utf-8")
    with ExpansionFile(path) as file:
        assert file.done == {A}
        file.add(B, QUERIES)
    assert set(read_expansions(path)) == {A, B}


def test_second_writer_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with ExpansionFile(path) as file:
        file.add(A, QUERIES)
        with pytest.raises(Conflict, match=r"out\.jsonl"), ExpansionFile(path):
            pass
    assert set(read_expansions(path)) == {A}


def test_file_of_something_else_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "faq.jsonl"
    path.write_text('{"question": "교환은요?", "answer": "됩니다."}\n', encoding="utf-8")
    before = path.read_bytes()
    with pytest.raises(CorpusError, match="line 1"), ExpansionFile(path):
        pass
    assert path.read_bytes() == before


def test_run_that_writes_nothing_leaves_no_file(tmp_path: Path) -> None:
    with ExpansionFile(tmp_path / "out.jsonl"):
        pass
    assert not (tmp_path / "out.jsonl").exists()
