"""Vectors that are kept: looked up, added to, independent of the adapter, made anew where damaged."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from retrieval.embedders.adapter import AdaptedEmbedder, Adapter, normalised
from retrieval.embedders.base import Embeddings
from retrieval.embedders.remembered import (
    decoded,
    encoded,
    read_vectors,
    remembered,
    text_key,
    write_vectors,
)
from retrieval.errors import EmbedderError
from tests.retrieval.index.index_kit import HashingEmbedder

TEXTS = ["정산은 언제 되나요?", "배송비", "반품 주소"]


def _adapter(seed: int) -> Adapter:
    rng = np.random.default_rng(seed)
    base = np.eye(64, dtype=np.float32)
    return Adapter("hashing-64-1", base + 0.1 * rng.standard_normal((64, 64)).astype(np.float32), base)


def test_a_text_is_embedded_once_whatever_adapter_is_put_on(tmp_path: Path) -> None:
    first, again = HashingEmbedder(), HashingEmbedder()
    with remembered(AdaptedEmbedder(first, _adapter(0)), tmp_path) as embedder:
        embedder.embed_queries(TEXTS[:2])
    with remembered(AdaptedEmbedder(again, _adapter(1)), tmp_path) as embedder:
        found = embedder.embed_queries(TEXTS)

    assert again.embedded == TEXTS[2:]
    direct = AdaptedEmbedder(HashingEmbedder(), _adapter(1)).embed_queries(TEXTS)
    assert (found.dense * direct.dense).sum(axis=1) == pytest.approx([1.0] * 3, abs=1e-4)
    assert embedder.name == AdaptedEmbedder(again, _adapter(1)).name


def test_questions_and_passages_are_kept_apart(tmp_path: Path) -> None:
    inner = HashingEmbedder()
    with remembered(inner, tmp_path) as embedder:
        embedder.embed_queries(TEXTS)
        embedder.embed_passages(TEXTS)
    assert inner.embedded == TEXTS * 2


class TwoSided(HashingEmbedder):
    """Embeds a question otherwise than a passage."""

    def embed_queries(self, texts: Sequence[str]) -> Embeddings:
        return self._embed([f"질문: {text}" for text in texts])


@pytest.mark.parametrize("kind", ["query", "passage"])
def test_codes_are_those_of_questions_or_of_passages(
    tmp_path: Path, kind: Literal["query", "passage"]
) -> None:
    with remembered(TwoSided(), tmp_path) as embedder:
        codes = embedder.codes_of(kind, TEXTS)
    direct = TwoSided().embed_queries(TEXTS) if kind == "query" else TwoSided().embed_passages(TEXTS)
    found = decoded(np.stack([codes[text_key(kind, text)] for text in TEXTS]))
    assert (found * normalised(direct.dense)).sum(axis=1) == pytest.approx([1.0] * 3, abs=1e-3)


def test_what_was_embedded_before_a_failure_is_kept(tmp_path: Path) -> None:
    failing, again = HashingEmbedder(), HashingEmbedder()
    failing.fail_after = 2

    def build() -> None:
        with remembered(failing, tmp_path) as embedder:
            embedder.embed_queries(TEXTS[:2])
            embedder.embed_queries(TEXTS[2:])

    with pytest.raises(EmbedderError):
        build()
    with remembered(again, tmp_path) as embedder:
        embedder.embed_queries(TEXTS)
    assert again.embedded == TEXTS[2:]


def test_a_kill_loses_at_most_the_batch_it_interrupts(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; sys.path[:0] = sys.argv[2:]\n"
        "from pathlib import Path\n"
        "from retrieval.embedders.remembered import remembered\n"
        "from tests.retrieval.index.index_kit import HashingEmbedder\n"
        "with remembered(HashingEmbedder(), Path(sys.argv[1])) as embedder:\n"
        "    embedder.embed_passages(['하나', '둘'])\n"
        "    embedder.embed_passages(['셋', '넷'])\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = Path(__file__).resolve().parents[3]
    ended = subprocess.run([sys.executable, "-c", script, str(tmp_path), str(root)])
    assert ended.returncode == -signal.SIGKILL
    [journal] = tmp_path.iterdir()
    journal.write_bytes(journal.read_bytes()[:-10])

    again = HashingEmbedder()
    with remembered(again, tmp_path) as embedder:
        found = embedder.embed_passages(["하나", "둘", "셋", "넷", "다섯"])

    assert again.embedded == ["넷", "다섯"], "the record that was cut short, and what is new"
    direct = HashingEmbedder().embed_passages(["하나", "둘", "셋", "넷", "다섯"])
    assert (found.dense * direct.dense).sum(axis=1) == pytest.approx([1.0] * 5, abs=1e-4)
    assert [path.suffix for path in tmp_path.iterdir()] == [".npz"]


def test_the_same_vector_comes_back_before_and_after_it_was_kept(tmp_path: Path) -> None:
    with remembered(HashingEmbedder(), tmp_path) as embedder:
        fresh = embedder.embed_queries(TEXTS).dense
    with remembered(HashingEmbedder(), tmp_path) as embedder:
        assert np.array_equal(embedder.embed_queries(TEXTS).dense, fresh)


def test_vectors_that_came_along_are_used_and_not_copied(tmp_path: Path) -> None:
    inner = HashingEmbedder()
    codes = encoded(inner.embed_queries(TEXTS).dense)
    shipped = tmp_path / "shipped"
    keys = [text_key("query", text) for text in TEXTS]
    write_vectors(shipped / "hashing.npz", inner.name, dict(zip(keys, codes, strict=True)))
    inner.embedded.clear()
    with remembered(inner, tmp_path / "cache", shipped=shipped) as embedder:
        embedder.embed_queries(TEXTS)
        embedder.embed_queries(["쿠폰"])
    assert inner.embedded == ["쿠폰"]
    (kept,) = (tmp_path / "cache").glob("*.npz")
    assert list(read_vectors(kept, inner)) == [text_key("query", "쿠폰")]


def test_learned_lexical_weights_pass_through(tmp_path: Path) -> None:
    inner = HashingEmbedder(sparse=True)
    with remembered(inner, tmp_path) as embedder:
        found = embedder.embed_queries([*TEXTS, TEXTS[0]])
    assert found.sparse is not None
    assert len(found.sparse) == 4
    assert list(tmp_path.glob("*")) == []


@pytest.mark.parametrize("damage", [b"", b"PK nonsense"])
def test_a_damaged_file_is_made_anew(tmp_path: Path, damage: bytes) -> None:
    inner = HashingEmbedder()
    with remembered(inner, tmp_path) as embedder:
        embedder.embed_queries(TEXTS)
    (kept,) = tmp_path.glob("*.npz")
    kept.write_bytes(damage)
    with remembered(inner, tmp_path) as embedder:
        embedder.embed_queries(TEXTS)
    assert inner.embedded == TEXTS * 2
    assert len(read_vectors(kept, inner)) == 3


def test_vectors_of_another_embedder_are_not_used(tmp_path: Path) -> None:
    path = tmp_path / "vectors.npz"
    codes = encoded(HashingEmbedder().embed_queries(TEXTS).dense)
    write_vectors(path, "hashing-64-2", {text_key("query", t): c for t, c in zip(TEXTS, codes, strict=True)})
    assert read_vectors(path, HashingEmbedder()) == {}


def test_eight_bits_keep_the_direction() -> None:
    vectors = normalised(np.random.default_rng(0).standard_normal((100, 384)).astype(np.float32))
    assert (decoded(encoded(vectors)) * vectors).sum(axis=1).min() > 0.9998
