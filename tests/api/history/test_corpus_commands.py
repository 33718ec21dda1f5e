"""The FAQ in service, out as a file and compared with its source."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from api.indexing.sync import difference
from retrieval.corpus.faq import read_corpus
from retrieval.edits.overlay import Entry, merged
from tests.api.live import ROOT, smartstore

SAMPLE = ROOT / "configs/faq/sample.jsonl"


def run(folder: Path, *arguments: str) -> str:
    done = smartstore(folder, "corpus", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_difference_leaves_what_a_person_edited() -> None:
    source = read_corpus(SAMPLE)
    first, second, third, fourth = source.faqs[:4]
    live, _ = merged(source, {}, {
        first.id: Entry("고친 제목", "고친 답"), second.id: Entry(second.question, "동기화된 옛 답"),
        third.id: Entry(third.question, third.answer, retired=True), "ffffffffffff": Entry("남의 것", "답"),
        "eeeeeeeeeeee": Entry("사라진 것", "답"),
    })  # fmt: skip
    editors = {
        first.id: "k_1",
        second.id: "sync",
        third.id: "sync",
        "ffffffffffff": "k_1",
        "eeeeeeeeeeee": "sync",
    }
    found = difference(source, live, editors)
    assert (list(found.new), list(found.changed), list(found.gone)) == (
        [third.id],
        [second.id],
        ["eeeeeeeeeeee"],
    )
    assert found.kept == (first.id,)
    assert found.gone["eeeeeeeeeeee"].retired
    assert fourth.id not in found.entries


def test_sync_publishes_and_export_writes_what_is_in_service(data_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(data_dir / "index", tmp_path / "index")
    lines = SAMPLE.read_text(encoding="utf-8").splitlines()
    first = json.loads(lines[0])
    lines[0] = json.dumps({**first, "answer": "새로 쓴 답입니다."}, ensure_ascii=False)
    extra = {"question": "드론으로 배송해도 되나요?", "answer": "아직 안 됩니다."}
    source = tmp_path / "source.jsonl"
    source.write_text("\n".join([*lines[:-1], json.dumps(extra, ensure_ascii=False)]), encoding="utf-8")
    assert "1 new, 1 changed, 1 gone, 0 kept" in run(tmp_path, "sync", "--from", str(source))
    assert "published" in run(tmp_path, "sync", "--from", str(source), "--publish")
    assert "0 new, 0 changed, 0 gone, 0 kept" in run(tmp_path, "sync", "--from", str(source))
    for suffix in (".jsonl", ".csv", ".xlsx"):
        target = tmp_path / f"out{suffix}"
        run(tmp_path, "export", str(target))
        by_id = read_corpus(target).by_id
        assert {faq.question for faq in by_id.values()} >= {extra["question"]}
        assert "새로 쓴 답입니다." in {faq.answer for faq in by_id.values()}
        assert len(by_id) == len(lines)


@pytest.mark.parametrize("suffix", [".txt"])
def test_export_to_another_format_is_refused(data_dir: Path, tmp_path: Path, suffix: str) -> None:
    done = smartstore(data_dir, "corpus", "export", str(tmp_path / f"out{suffix}"))
    assert done.returncode == 1
