"""Building an index: what is written, re-used, kept, dropped, and what survives an interruption."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from retrieval.errors import CorpusError, EmbedderError, IndexMismatch, IndexMissing, IndexUnavailable
from retrieval.index.build import build_index, rollback
from retrieval.index.milvus_store import MilvusStore
from retrieval.index.opening import current_fingerprint, index_info, open_index
from retrieval.index.rows import BuildInfo
from retrieval.tokenizer import KoreanTokenizer
from tests.retrieval.index.index_kit import ASKED, SHOP, HashingEmbedder, corpus, faq

TOKENIZER = KoreanTokenizer()


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return str(tmp_path / "index" / "faq.db")


def build(uri: str, faqs=SHOP, expansions=ASKED, embedder=None, **options):
    return build_index(corpus(*faqs), expansions, embedder or HashingEmbedder(), TOKENIZER, uri, **options)


def opened(uri: str, embedder=None):
    return open_index(uri, embedder=(embedder or HashingEmbedder()).name, tokenizer=TOKENIZER.version)


def test_build_stores_every_view_and_says_so(uri: str) -> None:
    report = build(uri)

    assert (report.info.faqs, report.info.expansions, report.info.rows) == (5, 4, 14)
    # Four answers differ, and so does every question: only equal texts are embedded once.
    assert report.embedded == 14
    assert set(report.seconds) == {"read", "embed", "store", "activate"}
    assert index_info(uri) == report.info
    assert current_fingerprint(uri) == report.info.fingerprint


def test_build_reports_progress_up_to_the_end_of_each_step(uri: str) -> None:
    told: list[tuple[str, int, int]] = []
    build(uri, progress=lambda *step: told.append(step))

    assert {step for step, _, _ in told} == {"tokenize", "embed", "store"}
    assert ("embed", 14, 14) in told
    assert told[-1] == ("store", 14, 14)


def test_build_of_the_same_does_nothing(uri: str) -> None:
    first = build(uri)
    embedder = HashingEmbedder()
    again = build(uri, embedder=embedder)

    assert again.unchanged
    assert again.info == first.info
    assert embedder.embedded == []


def test_build_after_a_small_change_embeds_only_that(uri: str) -> None:
    build(uri)
    embedder = HashingEmbedder()
    changed = replace(SHOP[3], answer="가로와 세로 1000 픽셀 이상을 권장합니다.")
    report = build(
        uri,
        (*SHOP[:3], changed, SHOP[4], faq("톡톡 상담은 어떻게 켜나요?", "상담 메뉴에서 켭니다.")),
        embedder=embedder,
    )

    assert sorted(embedder.embedded) == sorted(
        [changed.answer, "톡톡 상담은 어떻게 켜나요?", "상담 메뉴에서 켭니다."]
    )
    assert (report.embedded, report.reused) == (3, 13)
    assert opened(uri).get([changed.id])[changed.id].answer == changed.answer


def test_build_with_another_embedder_embeds_everything(uri: str) -> None:
    build(uri)
    report = build(uri, embedder=HashingEmbedder(dim=32))

    assert (report.info.dim, report.embedded) == (32, 14)


def test_build_keeps_the_one_before_and_drops_older_ones(uri: str) -> None:
    first, second = build(uri, SHOP[:3]), build(uri, SHOP[:4])
    third = build(uri)

    with MilvusStore(uri) as store:
        assert [info.fingerprint for info in store.builds()] == [
            third.info.fingerprint,
            second.info.fingerprint,
        ]
    assert third.dropped == (first.info.fingerprint,)


def test_rollback_puts_the_build_before_back_and_forth(uri: str) -> None:
    first, second = build(uri, SHOP[:3]), build(uri)

    assert rollback(uri) == first.info
    assert current_fingerprint(uri) == first.info.fingerprint
    assert len(opened(uri)) == 3
    assert rollback(uri) == second.info
    assert len(opened(uri)) == 5


def test_rollback_without_a_build_before_is_an_error(uri: str) -> None:
    build(uri)
    with pytest.raises(IndexMissing, match="no earlier build"):
        rollback(uri)


def test_build_that_is_rolled_back_to_is_not_written_again(uri: str) -> None:
    first = build(uri, SHOP[:3])
    build(uri)
    embedder = HashingEmbedder()
    report = build(uri, SHOP[:3], embedder=embedder)

    assert report.info == first.info
    assert embedder.embedded == []
    assert current_fingerprint(uri) == first.info.fingerprint


def test_build_whose_embedder_fails_leaves_the_old_one_in_service(uri: str) -> None:
    first = build(uri, SHOP[:3])
    embedder = HashingEmbedder()
    embedder.fail_after = 1
    with pytest.raises(EmbedderError):
        build(uri, embedder=embedder)

    assert current_fingerprint(uri) == first.info.fingerprint
    assert len(opened(uri)) == 3


def test_build_killed_while_it_stores_leaves_the_old_one_in_service(uri: str) -> None:
    first = build(uri, SHOP[:3])
    script = (
        "import os, sys; sys.path[:0] = sys.argv[2:]\n"
        "from tests.retrieval.index.index_kit import *\n"
        "from retrieval.tokenizer import KoreanTokenizer\n"
        "from retrieval.index.build import build_index\n"
        "from retrieval.index.milvus_store import MilvusStore\n"
        "MilvusStore.finish = lambda *args: os._exit(9)\n"
        "build_index(corpus(*SHOP), ASKED, HashingEmbedder(), KoreanTokenizer(), sys.argv[1])"
    )
    here = Path(__file__).resolve()
    ended = subprocess.run([sys.executable, "-c", script, uri, str(here.parents[3])])

    assert ended.returncode == 9
    with MilvusStore(uri) as store:
        assert store.current() == first.info.fingerprint
        assert len(store.client.list_collections()) == 3
    report = build(uri)
    assert report.info.faqs == 5
    assert current_fingerprint(uri) == report.info.fingerprint


def test_build_refuses_a_faq_that_cannot_be_stored(uri: str) -> None:
    with pytest.raises(CorpusError, match="65,535"):
        build(uri, (faq("긴 답변이 있나요?", "가" * 30_000),))
    many = {SHOP[0].id: [f"{n}번째로 묻는 말" for n in range(800)]}
    with pytest.raises(CorpusError, match="vectors take 68,"):
        build(uri, expansions=many)


def test_a_record_of_another_layout_is_read_and_refused(uri: str) -> None:
    info = build(uri).info
    other = BuildInfo.from_json(info.to_json().replace('"schema": 3', '"schema": 2, "rows_per_faq": 9'))

    assert other == replace(info, schema=2)
    with pytest.raises(IndexMismatch, match="layout 2"):
        other.check(uri, embedder=info.embedder, tokenizer=info.tokenizer)


def test_build_takes_texts_without_any_word(uri: str) -> None:
    build(uri, (*SHOP, faq("???", "!!!")), {})

    assert len(opened(uri)) == 6


def test_build_takes_a_long_answer_in_full(uri: str) -> None:
    long = faq("약관 전문을 볼 수 있나요?", "제1조 목적을 정합니다. " * 1_500)
    build(uri, (long,), {})

    assert opened(uri).get([long.id])[long.id] == long


def test_build_waits_for_a_locked_file_and_then_says_who_has_it(uri: str) -> None:
    build(uri)
    with MilvusStore(uri), pytest.raises(IndexUnavailable, match="open in another process"):
        MilvusStore(uri, wait_s=0.3)


def test_index_opens_while_another_process_has_the_file(uri: str) -> None:
    build(uri)
    with MilvusStore(uri):
        assert len(opened(uri)) == 5
        assert current_fingerprint(uri) is not None


def test_index_opens_without_its_snapshot_and_writes_it_again(uri: str, tmp_path: Path) -> None:
    build(uri)
    (snapshot,) = tmp_path.glob("index/*.npz")
    snapshot.unlink()
    Path(f"{uri}.current").unlink()

    assert len(opened(uri)) == 5
    assert snapshot.exists()
    assert Path(f"{uri}.current").exists()


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 not a zip file"])
def test_index_opens_with_a_damaged_snapshot(uri: str, tmp_path: Path, damage: bytes) -> None:
    build(uri)
    (snapshot,) = tmp_path.glob("index/*.npz")
    snapshot.write_bytes(damage)
    Path(f"{uri}.current").write_bytes(damage)

    assert len(opened(uri)) == 5


def test_index_of_another_embedder_names_the_command(uri: str) -> None:
    build(uri)
    with pytest.raises(IndexMismatch, match=r"hashing-64-1.*hashing-32-1.*smartstore index build"):
        opened(uri, HashingEmbedder(dim=32))


def test_index_of_another_corpus_names_the_command(uri: str) -> None:
    build(uri)
    with pytest.raises(IndexMismatch, match="smartstore index build"):
        open_index(uri, embedder=HashingEmbedder().name, tokenizer=TOKENIZER.version, fingerprint="f" * 16)


def test_index_that_was_never_built_names_the_command(uri: str) -> None:
    assert current_fingerprint(uri) is None
    with pytest.raises(IndexMissing, match="smartstore index build"):
        opened(uri)
    assert not Path(uri).exists()


def test_index_on_a_server_that_is_away_is_unavailable() -> None:
    with pytest.raises(IndexUnavailable, match=r"127\.0\.0\.1:1"):
        MilvusStore("http://127.0.0.1:1", timeout_s=1)


def test_index_in_a_folder_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(IndexUnavailable, match="cannot be opened"):
        MilvusStore(str(tmp_path / "file" / "faq.db"))
