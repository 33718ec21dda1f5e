"""The index seam: one contract over the snapshot in memory and Milvus itself, as a file and over TCP."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from retrieval.corpus.expansions import read_expansions
from retrieval.corpus.faq import Corpus, read_corpus
from retrieval.errors import IndexMismatch, IndexUnavailable
from retrieval.index import milvus_schema
from retrieval.index.base import LEGS, Candidate, IndexQuery
from retrieval.index.build import build_index
from retrieval.index.memory import MemoryIndex
from retrieval.index.milvus import MilvusIndex
from retrieval.index.opening import current_fingerprint, open_index
from retrieval.ranking.ranker import Ranker
from retrieval.search import DEPTH
from retrieval.tokenizer import KoreanTokenizer
from tests.conftest import free_port
from tests.retrieval.index.index_kit import ASKED, SHOP, HashingEmbedder, corpus, memory_index
from tests.retrieval.index.index_kit import faq as faq_of

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
TOKENIZER = KoreanTokenizer()
ODD = ("ㅋㅋㅋ", "?", "zzzz", "오늘 저녁에 뭐 먹지", "A/S 접수", "3.3% 원천징수", "https://example.com")


@pytest.fixture(scope="module")
def embedder() -> HashingEmbedder:
    return HashingEmbedder(dim=512)


@pytest.fixture(scope="module")
def sample() -> tuple[Corpus, dict[str, tuple[str, ...]]]:
    return read_corpus(CONFIGS / "faq/sample.jsonl"), read_expansions(CONFIGS / "expansions/sample.jsonl")


@pytest.fixture(scope="module")
def file_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("milvus") / "faq.db")


@pytest.fixture(scope="module")
def server_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Milvus over TCP: Milvus Lite's own server, in another process."""
    port, folder = free_port(), tmp_path_factory.mktemp("milvus-server")
    command = [str(Path(sys.executable).with_name("milvus-lite")), "server", "--data-dir", str(folder)]
    server = subprocess.Popen(
        [*command, "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    uri = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                current_fingerprint(uri)
                break
            except IndexUnavailable:
                assert time.monotonic() < deadline, "milvus-lite server does not answer"
        yield uri
    finally:
        server.terminate()
        server.wait(60)


@pytest.fixture(scope="module", params=["file", "server"])
def pair(request, sample, embedder) -> Iterator[tuple[MemoryIndex, MilvusIndex]]:
    """The same build, in memory and searched by Milvus."""
    uri = request.getfixturevalue(f"{request.param}_uri")
    build_index(*sample, embedder, TOKENIZER, uri)
    names = {"embedder": embedder.name, "tokenizer": TOKENIZER.version}
    memory, milvus = open_index(uri, **names), open_index(uri, snapshot_max_faqs=0, **names)
    assert isinstance(memory, MemoryIndex)
    assert isinstance(milvus, MilvusIndex)
    yield memory, milvus
    milvus.close()


@pytest.fixture(params=["memory", "milvus"])
def index(request, pair) -> MemoryIndex | MilvusIndex:
    return pair[["memory", "milvus"].index(request.param)]


def query(text: str, embedder: HashingEmbedder) -> IndexQuery:
    return IndexQuery(text, embedder.embed_queries([text]).dense[0], TOKENIZER.tokens(text))


def top(index, asked: IndexQuery, leg: str, count: int = 10) -> list[str]:
    """The best FAQs of one leg, as any ranker would see them."""
    return best(index.candidates(asked, limit=count), leg, count)


def best(found: list[Candidate], leg: str, count: int) -> list[str]:
    found = sorted(found, key=lambda c: (-round(c.scores[leg], 4), c.faq.id))
    return [c.faq.id for c in found if c.scores[leg] > 0][:count]


def test_index_finds_a_faq_by_its_own_question_first(index, sample, embedder) -> None:
    for faq in sample[0].faqs[::23]:
        asked = query(faq.question, embedder)
        assert top(index, asked, "lexical_question", 3)[0] == faq.id


def test_index_finds_a_faq_by_its_expansion_first(index, sample, embedder) -> None:
    for id, asked in list(sample[1].items())[::23]:
        assert top(index, query(asked[0], embedder), "dense_expansion", 3)[0] == id


def test_index_fills_in_every_leg_of_every_candidate(index, embedder) -> None:
    found = index.candidates(query("정산은 언제 되나요?", embedder), limit=5)

    assert 5 <= len(found) <= 30
    for candidate in found:
        assert set(candidate.scores) == set(LEGS)
        assert all(-1.0 <= candidate.scores[leg] <= 1.0001 for leg in LEGS if leg.startswith("dense"))
        assert all(candidate.scores[leg] >= 0.0 for leg in LEGS if leg.startswith("lexical"))
    assert len({c.faq.id for c in found}) == len(found)


def test_index_gives_the_whole_faq_back(index, sample) -> None:
    faqs = sample[0].faqs
    found = index.get([faqs[3].id, "0" * 12, faqs[0].id])

    assert list(found.values()) == [faqs[3], faqs[0]]
    assert index.get([]) == {}


def test_index_takes_a_query_without_any_term(index, embedder) -> None:
    asked = IndexQuery("?", embedder.embed_queries(["?"]).dense[0], ())
    found = index.candidates(asked, limit=5)

    assert found
    assert all(candidate.scores["lexical_question"] == 0.0 for candidate in found)


def test_index_takes_a_query_that_looks_like_a_filter(index, embedder) -> None:
    assert index.candidates(query('" or view == "answer', embedder), limit=5)
    assert index.get(['x" or id != "']) == {}


def test_index_refuses_a_vector_of_another_size(index) -> None:
    with pytest.raises((IndexMismatch, IndexUnavailable)):
        index.candidates(IndexQuery("정산", np.ones(3, np.float32), ("정산",)), limit=5)


def test_memory_and_milvus_find_the_same_with_the_same_scores(pair, sample, embedder) -> None:
    memory, milvus = pair
    texts = [asked[-1] for asked in list(sample[1].values())[::9]]
    texts += [text.replace(" ", "") for text in texts[::3]] + [*ODD]
    assert len(texts) >= 30
    for text in texts:
        asked = query(text, embedder)
        found, other = (index.candidates(asked, limit=DEPTH) for index in (memory, milvus))
        ours, theirs = ({c.faq.id: c for c in candidates} for candidates in (found, other))
        assert ours.keys() == theirs.keys(), text
        for id, candidate in ours.items():
            assert candidate.faq == theirs[id].faq
            assert candidate.scores == pytest.approx(theirs[id].scores, abs=1e-4)
            assert candidate.signs == pytest.approx(theirs[id].signs, abs=1e-4)
        for leg in LEGS:
            assert best(found, leg, DEPTH) == best(other, leg, DEPTH), (text, leg)


def shared_of_the_first_ten(memory: MemoryIndex, milvus: MilvusIndex, asked: IndexQuery, limit: int) -> float:
    """How many of the ten FAQs that the ranker puts first are the same, where few of them are candidates."""
    first, other = (
        {hit.faq.id for hit in Ranker.load().rank(asked, index.candidates(asked, limit=limit))[:10]}
        for index in (memory, milvus)
    )
    return len(first & other) / len(first)


@pytest.mark.parametrize(
    ("kind", "bounds"), [("FLAT", (10**9, 0)), ("HNSW", (0, 10**9)), ("IVF_SQ8", (0, 0))]
)
def test_milvus_finds_what_the_ranker_puts_first_among_more_faqs_than_it_fetches(
    kind: str, bounds: tuple[int, int], tmp_path: Path, sample, embedder, monkeypatch
) -> None:
    monkeypatch.setattr(milvus_schema, "EXACT_FAQS", bounds[0])
    monkeypatch.setattr(milvus_schema, "GRAPH_FAQS", bounds[1])
    uri = str(tmp_path / "faq.db")
    build_index(*sample, embedder, TOKENIZER, uri)
    names = {"embedder": embedder.name, "tokenizer": TOKENIZER.version}
    memory, milvus = open_index(uri, **names), open_index(uri, snapshot_max_faqs=0, **names)
    assert isinstance(memory, MemoryIndex)
    assert isinstance(milvus, MilvusIndex)
    assert milvus.dense_index == kind
    asked = [query(texts[-1], embedder) for texts in list(sample[1].values())[::9]]
    # Of the 186 FAQs 80 at most are fetched.
    shares = [shared_of_the_first_ten(memory, milvus, each, limit=10) for each in asked]
    milvus.close()
    assert sum(shares) / len(shares) >= 0.97


def test_memory_agrees_with_scoring_every_row_by_hand(pair, sample, embedder) -> None:
    memory, _ = pair
    asked = query("배송비는 누가 부담하나요", embedder)
    best = {c.faq.id: c.scores for c in memory.candidates(asked, limit=len(memory))}

    for faq in sample[0].faqs[::17]:
        rows = embedder.embed_queries(sample[1][faq.id]).dense
        assert best[faq.id]["dense_expansion"] == pytest.approx(float((rows @ asked.dense).max()), abs=1e-5)
        row = embedder.embed_passages([faq.question]).dense[0]
        assert best[faq.id]["dense_question"] == pytest.approx(float(row @ asked.dense), abs=1e-5)


def test_signs_tell_what_a_faq_says_as_a_whole(embedder) -> None:
    named = faq_of("[쇼핑라이브 숏클립] 댓글을 지울 수 있나요?", "관리 화면에서 지웁니다.")
    plain = faq_of("댓글을 지울 수 있나요?", "관리 화면에서 지웁니다.")
    index = memory_index([named, plain], {plain.id: ("후기에 달린 글 없애는 법",)}, embedder)

    def signs(text: str, id: str) -> dict[str, float]:
        found = {c.faq.id: c.signs for c in index.candidates(query(text, embedder), limit=5)}
        return dict(found[id])

    assert signs("댓글 지우기", plain.id)["unnamed"] == 0.0
    assert signs("댓글 지우기", named.id)["unnamed"] == pytest.approx(1.0)
    assert signs("숏클립 쇼핑라이브 댓글 지우기", named.id)["unnamed"] == pytest.approx(0.0, abs=1e-6)
    assert signs("댓글", plain.id)["covered_title"] == pytest.approx(1.0)
    # A word of an expansion is covered by the FAQ, not by its title; an unknown word counts for nothing.
    assert signs("후기 자전거", plain.id)["covered"] == pytest.approx(1.0)
    assert signs("후기 자전거", plain.id)["covered_title"] == 0.0
    assert signs("댓글", named.id)["specific"] > signs("댓글", plain.id)["specific"]


def test_memory_searches_in_milliseconds(pair, embedder) -> None:
    memory, _ = pair
    asked = query("반품은 어떻게 하나요?", embedder)
    started = time.process_time()
    for _ in range(50):
        memory.candidates(asked, limit=50)

    assert (time.process_time() - started) / 50 < 0.02


def test_learned_sparse_weights_take_the_place_of_bm25(file_uri: str, tmp_path: Path) -> None:
    uri, embedder = str(tmp_path / "faq.db"), HashingEmbedder(sparse=True)
    report = build_index(corpus(*SHOP), ASKED, embedder, TOKENIZER, uri)
    names = {"embedder": embedder.name, "tokenizer": TOKENIZER.version}
    memory = open_index(uri, **names)
    milvus = open_index(uri, snapshot_max_faqs=0, **names)
    found = embedder.embed_queries(["반품 택배비"])
    asked = IndexQuery("반품 택배비", found.dense[0], TOKENIZER.tokens("반품 택배비"), found.sparse[0])

    assert report.info.sparse
    ours, theirs = memory.candidates(asked, limit=3), milvus.candidates(asked, limit=3)
    milvus.close()
    assert [c.faq.id for c in ours] == [c.faq.id for c in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert one.scores == pytest.approx(other.scores, abs=1e-4)
    # Pairs shared with "반품 배송비는 누가 내나요?": 반품, "품 ".
    best = max(ours, key=lambda c: c.scores["lexical_question"])
    assert (best.faq, best.scores["lexical_question"]) == (SHOP[2], 2.0)


def test_sparse_build_reuses_its_weights(tmp_path: Path) -> None:
    uri, embedder = str(tmp_path / "faq.db"), HashingEmbedder(sparse=True)
    build_index(corpus(*SHOP[:4]), ASKED, embedder, TOKENIZER, uri)
    embedder.embedded.clear()
    report = build_index(corpus(*SHOP), ASKED, embedder, TOKENIZER, uri)

    assert sorted(embedder.embedded) == sorted([SHOP[4].question, SHOP[4].answer])
    assert report.info.sparse
