"""The reranker seam: one contract over every implementation, the choice between them, and how hits move."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import pytest

from retrieval.errors import EmbedderError, UnknownName
from retrieval.ranking.base import Reranker, rerank
from retrieval.ranking.factory import open_reranker
from retrieval.ranking.ranker import Hit
from retrieval.ranking.remote import RemoteReranker
from tests.conftest import free_port
from tests.retrieval.embedders.tiny_checkpoints import TEXTS, save_tiny_reranker
from tests.retrieval.index.index_kit import faq
from tests.retrieval.ranking.rerank_server import Behaviour, rerank_server, shared


@pytest.fixture(scope="module", params=["cross-encoder", "remote", "tei"])
def reranker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reranker]:
    if request.param == "cross-encoder":
        if find_spec("sentence_transformers") is None:
            pytest.skip("NOT TESTED: needs sentence-transformers (pip install '.[st]')")
        folder = save_tiny_reranker(tmp_path_factory.mktemp("reranker"))
        opened = open_reranker("cross-encoder", model=str(folder))
        assert opened is not None
        yield opened
        return
    with rerank_server(Behaviour()) as root:
        url = root if request.param == "tei" else f"{root}/v1"
        remote = open_reranker(request.param, base_url=url, model="m")
        assert isinstance(remote, RemoteReranker)
        with closing(remote):
            yield remote


def test_reranker_gives_a_probability_for_each_text_in_order(reranker: Reranker) -> None:
    together = reranker.probabilities("정산 언제", TEXTS)

    assert all(0 <= p <= 1 for p in together)
    assert len(set(together)) > 1
    for text, p in zip(TEXTS, together, strict=True):
        assert reranker.probabilities("정산 언제", [text]) == pytest.approx([p], abs=1e-5)


def test_reranker_takes_nothing_blank_and_long_texts(reranker: Reranker) -> None:
    assert reranker.probabilities("정산", []) == []
    assert len(reranker.probabilities("정산", [" ", "가" * 3_000, "👍🏽\n\n정산"])) == 3


def test_reranker_serves_several_threads_at_once(reranker: Reranker) -> None:
    alone = reranker.probabilities("반품", TEXTS)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: reranker.probabilities("반품", TEXTS), range(8)):
            assert found == pytest.approx(alone, abs=1e-5)


class Fixed:
    """Says what it is told."""

    name = "fixed"

    def __init__(self, told: Sequence[float], depth: int = 10) -> None:
        self.told, self.depth, self.read = told, depth, list[str]()

    def probabilities(self, question: str, texts: Sequence[str]) -> list[float]:
        self.read = list(texts)
        return list(self.told)


HITS = [Hit(faq(text, f"{text} 답"), (8 - 2 * n) / 10, {}) for n, text in enumerate(TEXTS)]


def test_hits_are_ordered_by_both_probabilities() -> None:
    reranker = Fixed([0.1, 0.2, 0.9, 0.2])
    found = rerank(reranker, "정산", HITS)

    assert [hit.faq for hit in found] == [HITS[n].faq for n in (2, 0, 1, 3)]
    assert [hit.score for hit in found] == pytest.approx([0.65, 0.45, 0.4, 0.2])
    assert reranker.read[0] == f"{TEXTS[0]}\n{TEXTS[0]} 답"


def test_hits_that_lie_deeper_keep_their_place() -> None:
    found = rerank(Fixed([0.1, 0.9], depth=2), "정산", HITS)

    assert [hit.faq for hit in found[:2]] == [HITS[1].faq, HITS[0].faq]
    assert found[2:] == HITS[2:]


def test_a_single_hit_is_not_read() -> None:
    reranker = Fixed([])

    assert rerank(reranker, "정산", HITS[:1]) == HITS[:1]
    assert reranker.read == []


def test_factory_lists_the_valid_names() -> None:
    assert open_reranker("none") is None
    with pytest.raises(UnknownName, match="valid: none, cross-encoder, remote, tei"):
        open_reranker("bm25")


def test_remote_reranker_sends_model_and_key() -> None:
    behaviour = Behaviour()
    with rerank_server(behaviour) as root:
        reranker = RemoteReranker(f"{root}/v1/", model="bge", api_key="5678")
        with closing(reranker):
            assert reranker.probabilities("정산", TEXTS) == [shared("정산", text) for text in TEXTS]

    path, body, key = behaviour.requests[0]
    assert (path, key) == ("/v1/rerank", "Bearer 5678")
    assert body == {"query": "정산", "documents": list(TEXTS), "model": "bge"}


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        ("no json", "not a reranker's reply"),
        ("[]", "not a reranker's reply"),
        ('{"results": [{"index": 0}]}', "not a reranker's reply"),
        ('{"results": [{"index": 0, "relevance_score": 7.5}]}', "beyond 0 and 1"),
    ],
)
def test_remote_reranker_refuses_what_is_no_ranking(reply: str, says: str) -> None:
    with (
        rerank_server(Behaviour(faults=[(200, reply)])) as root,
        closing(RemoteReranker(root)) as reranker,
        pytest.raises(EmbedderError, match=says),
    ):
        reranker.probabilities("정산", ["정산"])


def test_remote_reranker_says_what_the_server_said() -> None:
    with (
        rerank_server(Behaviour(faults=[(401, "bad key")])) as root,
        closing(RemoteReranker(f"{root}/v1", model="m")) as reranker,
        pytest.raises(EmbedderError, match="HTTP 401: bad key"),
    ):
        reranker.probabilities("정산", ["정산"])


def test_remote_reranker_reports_a_server_that_is_away() -> None:
    with (
        closing(RemoteReranker(f"http://127.0.0.1:{free_port()}/v1", attempts=1)) as reranker,
        pytest.raises(EmbedderError, match="ConnectError"),
    ):
        reranker.probabilities("정산", ["정산"])


def test_cross_encoder_without_the_library_names_the_extra(tmp_path: Path) -> None:
    if find_spec("sentence_transformers") is not None:
        pytest.skip("sentence-transformers is installed")
    with pytest.raises(EmbedderError, match=r"\[st\]"):
        open_reranker("cross-encoder", model=str(tmp_path))
