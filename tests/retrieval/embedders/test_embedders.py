"""The embedder seam: one contract over every implementation, and the choice between them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from retrieval.embedders.base import Embedder
from retrieval.embedders.e5.small import E5Small
from retrieval.embedders.factory import open_embedder
from retrieval.embedders.openai import OpenAIEmbedder
from retrieval.errors import EmbedderError, UnknownName
from tests.retrieval.embedders.embedding_server import Behaviour, embedding_server
from tests.retrieval.embedders.tiny_checkpoints import TEXTS, save_tiny_bge


@pytest.fixture(scope="module", params=["e5-small", "sentence-transformer", "openai"])
def embedder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedder]:
    match request.param:
        case "sentence-transformer" as name:
            if find_spec("sentence_transformers") is None:
                pytest.skip("NOT TESTED: needs sentence-transformers (pip install '.[st]')")
            yield open_embedder(name, model=str(save_tiny_bge(tmp_path_factory.mktemp("bge"))))
        case "openai":
            with embedding_server(Behaviour()) as url:
                remote = open_embedder("openai", base_url=url, model="BAAI/bge-m3", dim=64)
                assert isinstance(remote, OpenAIEmbedder)
                with closing(remote):
                    yield remote
        case name:
            yield open_embedder(name)


def test_embedder_gives_unit_vectors_in_the_order_asked(embedder: Embedder) -> None:
    together = embedder.embed_passages(TEXTS * 9).dense

    assert together.shape == (36, embedder.dim)
    assert together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-5)
    for text, row in zip(TEXTS, together, strict=False):
        np.testing.assert_allclose(embedder.embed_passages([text]).dense[0], row, atol=1e-5)


def test_embedder_tells_texts_apart(embedder: Embedder) -> None:
    dense = embedder.embed_queries(TEXTS).dense
    similar = dense @ dense.T - 2 * np.eye(len(TEXTS))

    assert similar.max() < 0.9999


def test_embedder_takes_nothing_blank_and_odd_texts(embedder: Embedder) -> None:
    assert embedder.embed_queries([]).dense.shape == (0, embedder.dim)
    odd = embedder.embed_queries(["", " ", "\0", "가" * 3_000, "👍🏽", "a\0b"]).dense

    assert np.isfinite(odd).all()


def test_embedder_serves_several_threads_at_once(embedder: Embedder) -> None:
    alone = embedder.embed_queries(TEXTS).dense
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: embedder.embed_queries(TEXTS).dense, range(8)):
            np.testing.assert_allclose(found, alone, atol=1e-5)


def test_embedder_name_is_fit_for_a_fingerprint(embedder: Embedder) -> None:
    assert str(embedder.dim) in embedder.name or "q4" in embedder.name


def test_e5_finds_the_meaning_without_a_shared_word() -> None:
    embedder = E5Small()
    passages = embedder.embed_passages(
        ["환불 처리 기간 안내", "상품 사진을 올리는 방법", "회원 탈퇴 절차"]
    ).dense
    asked = embedder.embed_queries(["낸 돈을 며칠 뒤에 돌려받나요?"]).dense[0]

    assert int((passages @ asked).argmax()) == 0


def test_e5_tells_questions_from_passages() -> None:
    embedder = E5Small()
    assert not np.allclose(embedder.embed_queries(["정산"]).dense, embedder.embed_passages(["정산"]).dense)


def test_factory_lists_the_valid_names() -> None:
    with pytest.raises(UnknownName, match="'word2vec'; valid: e5-small, sentence-transformer, openai"):
        open_embedder("word2vec")


def test_checkpoint_without_the_library_names_the_extra(tmp_path: Path) -> None:
    if find_spec("sentence_transformers") is not None:
        pytest.skip("sentence-transformers is installed")
    with pytest.raises(EmbedderError, match=r"\[st\]"):
        open_embedder("sentence-transformer", model=str(tmp_path))


def test_e5_looks_at_the_beginning_of_a_long_text_only() -> None:
    embedder = E5Small()
    long = "배송이 늦어져서 문의합니다. " * 60
    found = embedder.embed_queries([long, long + "정산"]).dense

    np.testing.assert_array_equal(found[0], found[1])
