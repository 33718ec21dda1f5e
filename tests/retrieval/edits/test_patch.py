"""A patch: FAQs put in, changed and taken out without building anew; searched alike everywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from retrieval.edits.overlay import Entry, Overlay, entry_of, merged, new_id
from retrieval.edits.patch import make_patch, read_known, write_patch
from retrieval.edits.patched import PatchedIndex
from retrieval.index.base import IndexQuery
from retrieval.index.build import build_index, rollback
from retrieval.index.memory import MemoryIndex
from retrieval.index.milvus import MilvusIndex
from retrieval.index.milvus_store import MilvusStore
from retrieval.index.opening import index_info, open_index
from retrieval.index.prepare import Known
from retrieval.index.rows import BuildInfo
from retrieval.tokenizer import KoreanTokenizer
from tests.retrieval.index.index_kit import ASKED, SHOP, HashingEmbedder, corpus

TOKENIZER, EMBEDDER = KoreanTokenizer(), HashingEmbedder()
NAMES = {"embedder": EMBEDDER.name, "tokenizer": TOKENIZER.version}
FILE = corpus(*SHOP)
FIRST, SECOND = FILE.faqs[0], FILE.faqs[1]
NEW = Entry("드론 배송도 되나요?", "아직 되지 않습니다.", expansions=("하늘로 보내 주나요",))
NEW_ID = new_id(NEW.question, FILE.by_id)
OVERLAY: Overlay = {
    NEW_ID: NEW,
    FIRST.id: Entry("고친 제목은 무엇인가요?", "고친 답입니다."),
    SECOND.id: Entry(SECOND.question, SECOND.answer, retired=True),
}


@pytest.fixture
def uri(tmp_path: Path) -> str:
    uri = str(tmp_path / "index" / "faq.db")
    build_index(FILE, ASKED, EMBEDDER, TOKENIZER, uri)
    return uri


def publish(uri: str, overlay: Overlay, base: BuildInfo) -> BuildInfo:
    faqs, wordings = merged(FILE, ASKED, overlay)
    patch = make_patch(faqs, wordings, overlay, base, embedder=EMBEDDER, tokenizer=TOKENIZER)
    write_patch(patch, uri)
    return patch.info


def found(index: MemoryIndex | MilvusIndex, text: str) -> dict[str, float]:
    query = IndexQuery(text, EMBEDDER.embed_queries([text]).dense[0], TOKENIZER.tokens(text))
    scores = {c.faq.id: c.scores["dense_question"] for c in index.candidates(query, limit=5)}
    return dict(sorted(scores.items(), key=lambda item: -item[1]))


def test_without_edits_the_corpus_is_the_file_s_own() -> None:
    retired = {NEW_ID: Entry(NEW.question, NEW.answer, retired=True)}
    assert merged(FILE, ASKED, {}) == (FILE, ASKED)
    assert merged(FILE, ASKED, retired)[0].faqs == FILE.faqs
    assert merged(FILE, ASKED, retired)[0].fingerprint != FILE.fingerprint


def test_patched_index_finds_what_was_put_in_and_not_what_was_taken_out(uri: str) -> None:
    base = index_info(uri)
    before = open_index(uri, **NAMES)
    info = publish(uri, OVERLAY, base)
    assert info.base == base.fingerprint
    after = open_index(uri, **NAMES, loaded=before)
    assert isinstance(after, PatchedIndex)
    assert after.base is before
    assert next(iter(found(after, NEW.question))) == NEW_ID
    assert next(iter(found(after, "고친 제목은 무엇인가요?"))) == FIRST.id
    assert SECOND.id not in found(after, SECOND.question)
    assert after.get([FIRST.id, SECOND.id])[FIRST.id].answer == "고친 답입니다."
    assert SECOND.id in found(before, SECOND.question)
    assert [faq.id for faq in after.faqs()] == sorted(faq.id for faq in after.faqs())


def test_snapshot_store_and_milvus_search_a_patch_alike(uri: str, tmp_path: Path) -> None:
    publish(uri, OVERLAY, index_info(uri))
    snapshot = open_index(uri, **NAMES)
    for file in Path(uri).parent.glob("*.npz"):
        file.unlink()
    from_store = open_index(uri, **NAMES)
    milvus = open_index(uri, **NAMES, snapshot_max_faqs=0)
    assert isinstance(milvus, MilvusIndex)
    for text in (NEW.question, FIRST.question, SECOND.question, "배송비", "하늘로 보내 주나요"):
        expected = found(snapshot, text)
        assert found(from_store, text) == pytest.approx(expected)
        assert found(milvus, text) == pytest.approx(expected, abs=1e-5)
    ids = [NEW_ID, FIRST.id, SECOND.id, FILE.faqs[2].id]
    assert milvus.get(ids) == snapshot.get(ids)
    milvus.close()


def test_patch_after_patch_keeps_one_base_and_rolls_back_one_edit(uri: str) -> None:
    base = index_info(uri)
    first = publish(uri, {NEW_ID: NEW}, base)
    second = publish(uri, OVERLAY, base)
    with MilvusStore(uri) as store:
        assert {info.fingerprint for info in store.builds()} == {
            base.fingerprint, first.fingerprint, second.fingerprint,
        }  # fmt: skip
    assert rollback(uri).fingerprint == first.fingerprint
    index = open_index(uri, **NAMES)
    assert next(iter(found(index, NEW.question))) == NEW_ID
    assert SECOND.id in found(index, SECOND.question)
    for n in range(3):
        third = publish(uri, {NEW_ID: Entry(NEW.question, f"답 {n}")}, base)
    with MilvusStore(uri) as store:
        assert len(store.builds()) == 3
    assert open_index(uri, **NAMES).get([NEW_ID])[NEW_ID].answer == "답 2"
    assert third.base == base.fingerprint


def test_whole_build_after_edits_takes_their_vectors_over(uri: str) -> None:
    info = publish(uri, {NEW_ID: NEW}, index_info(uri))
    faqs, wordings = merged(FILE, ASKED, {NEW_ID: NEW})
    assert build_index(faqs, wordings, EMBEDDER, TOKENIZER, uri).info.fingerprint == info.fingerprint
    more = {NEW_ID: NEW, FIRST.id: Entry("또 다른 제목", FIRST.answer, FIRST.categories)}
    faqs, wordings = merged(FILE, ASKED, more)
    report = build_index(faqs, wordings, EMBEDDER, TOKENIZER, uri)
    assert report.embedded == 1
    assert not report.info.base


def test_only_taking_out_is_a_patch_too(uri: str) -> None:
    gone = Entry(SECOND.question, SECOND.answer, retired=True)
    info = publish(uri, {SECOND.id: gone}, index_info(uri))
    assert (info.rows, info.faqs) == (0, len(FILE.faqs) - 1)
    assert SECOND.id not in found(open_index(uri, **NAMES), SECOND.question)


def test_undone_edit_is_the_file_again() -> None:
    faqs, wordings = merged(FILE, ASKED, {FIRST.id: None})
    assert faqs.faqs == FILE.faqs
    assert wordings == {id: tuple(queries) for id, queries in ASKED.items()}
    assert entry_of(FIRST).to_json() == Entry.from_json(entry_of(FIRST).to_json()).to_json()
    assert new_id(FIRST.question, FILE.by_id) != FIRST.id


def test_a_patch_computes_only_what_the_one_before_did_not(uri: str) -> None:
    base = index_info(uri)
    info = publish(uri, OVERLAY, base)
    more = {**OVERLAY, "0123456789ab": Entry("하나 더 물어봐도 되나요?", "됩니다.")}
    faqs, wordings = merged(FILE, ASKED, more)
    models = (EMBEDDER, TOKENIZER)
    for known in (read_known(uri, *models), Known()):
        patch = make_patch(faqs, wordings, more, base, embedder=models[0], tokenizer=models[1], known=known)
        again = make_patch(
            faqs, wordings, more, base, embedder=models[0], tokenizer=models[1], known=patch.known()
        )
        assert again.prepared.embedded == 0
        assert np.array_equal(again.rows.dense, patch.rows.dense)
        # The new FAQ's question and answer, or every text of the overlay.
        assert patch.prepared.embedded == (2 if known.dense else len(patch.views))
    assert info.base == base.fingerprint
