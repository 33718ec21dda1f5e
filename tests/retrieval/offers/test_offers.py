"""What a build knows of its titles: looked up once, stored with it, and given up where an edit touches it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from retrieval.edits.patched import PatchedIndex
from retrieval.index.build import build_index
from retrieval.index.memory import MemoryIndex
from retrieval.index.milvus_store import MilvusStore
from retrieval.index.opening import index_info, known_offers, note_offers, open_index
from retrieval.index.prepare import Known, prepare
from retrieval.index.rows import IndexRows, view_texts
from retrieval.offers.find import find_offers
from retrieval.offers.known import Offer, Offers
from retrieval.ranking.ranker import Ranker
from retrieval.scope.classifier import ScopeClassifier
from retrieval.search import Searcher
from retrieval.tokenizer import KoreanTokenizer
from tests.retrieval.index.index_kit import ASKED, SHOP, HashingEmbedder, corpus, faq, memory_index

TOKENIZER, EMBEDDER, SCOPE = KoreanTokenizer(), HashingEmbedder(), ScopeClassifier.load()


def offers_of(index: MemoryIndex) -> Offers:
    searcher = Searcher(index, EMBEDDER, TOKENIZER, Ranker.load())
    return find_offers(searcher, SCOPE, index.faqs(), lambda done, total: None)


def test_offers_tell_what_each_title_finds() -> None:
    related = replace(SHOP[0], related=("반품 배송비는 누가 내나요", "정산 주기", SHOP[0].question))
    twin = replace(faq("정산은 언제쯤 되나요?"), answer="다른 답입니다.")
    index = memory_index([related, *SHOP[1:], twin], ASKED, EMBEDDER)
    searcher = Searcher(index, EMBEDDER, TOKENIZER, Ranker.load())
    offers = offers_of(index)
    assert set(offers.by_id) == {each.id for each in index.faqs()}
    for each in index.faqs():
        result = searcher.search(each.question, limit=12)
        answered = SCOPE.judge(each.question, result, followup=False).verdict == "answered"
        first = result.hits[0].faq.id == each.id
        assert offers.by_id[each.id].offerable is (first and answered)
        found = [hit.faq.id for hit in result.hits if hit.faq.id != each.id]
        assert list(offers.by_id[each.id].neighbours) == found
    assert SHOP[2].id in offers.by_id[related.id].related
    assert related.id not in offers.by_id[related.id].related


@pytest.fixture
def uri(tmp_path: Path) -> str:
    uri = str(tmp_path / "faq.db")
    build_index(corpus(*SHOP), ASKED, EMBEDDER, TOKENIZER, uri)
    return uri


def test_offers_are_stored_with_the_build(uri: str, tmp_path: Path) -> None:
    names = {"embedder": EMBEDDER.name, "tokenizer": TOKENIZER.version}
    index = open_index(uri, **names)
    assert isinstance(index, MemoryIndex)
    assert index.offers is None
    offers = offers_of(index)
    note_offers(uri, index_info(uri), offers)
    assert known_offers(uri, index) == offers
    assert open_index(uri, **names).offers == offers
    for beside in tmp_path.glob("faq.db.*"):
        beside.unlink()
    assert open_index(uri, **names).offers == offers, "the store alone has them, too"
    assert open_index(uri, **names, snapshot_max_faqs=0).offers == offers


def test_offers_in_many_pieces_are_read_whole(uri: str) -> None:
    offers = Offers("long", {f"{n:04}": replace(offers_entry(), short="가" * 500) for n in range(20_000)})
    fingerprint = index_info(uri).fingerprint
    with MilvusStore(uri) as store:
        store.note_offers(fingerprint, offers)
        assert store.offers(fingerprint) == offers


def offers_entry() -> Offer:

    return Offer(True, "", ("a", "b"), ())


def test_an_edit_gives_up_only_the_offers_that_it_touches() -> None:
    many = [
        *SHOP,
        *(faq(f"{word}의 {n}번째 설정은 어디에 있나요?") for n in range(30) for word in ("쿠폰", "포인트")),
    ]
    base = memory_index(many, ASKED, EMBEDDER)
    base.offers = offers_of(base)
    twin = faq("정산은 언제쯤 되나요?")
    views = view_texts([twin], {})
    done = prepare(views, EMBEDDER, TOKENIZER, Known(), lambda *_: None)
    rows = IndexRows.of(views, vectors=done.vectors, tokens=done.tokens, faqs={twin.id: twin})
    patched = PatchedIndex(base, frozenset([many[10].id]), rows, fingerprint="patched")
    assert patched.offers is not None
    assert SHOP[0].id not in patched.offers.by_id, "the new title may be found in its place"
    assert many[10].id not in patched.offers.by_id
    assert twin.id not in patched.offers.by_id
    assert patched.offers.by_id, "the rest still holds"
    for id, offer in patched.offers.by_id.items():
        assert offer == base.offers.by_id[id]
        assert many[10].id not in (*offer.neighbours, *offer.related)
    again = PatchedIndex(patched, frozenset([many[11].id]), rows, fingerprint="patched again")
    assert again.offers is not None
    assert again.offers.by_id.keys() <= patched.offers.by_id.keys() - {many[11].id}
