"""The adapter: trained on views of FAQs, saved, and put before an embedder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from retrieval.embedders.adapter import AdaptedEmbedder, Adapter, adapted, normalised
from retrieval.embedders.base import Embeddings
from retrieval.errors import EmbedderError
from retrieval.training.adapter import ViewVectors, train_adapter

DIM = 12


class LetterEmbedder:
    """Counts letters: a real embedder, small enough to follow."""

    name, dim = "letters-1", DIM

    def embed_queries(self, texts: Sequence[str]) -> Embeddings:
        """Counts the letters of questions."""
        counts = [[float(sum(ord(c) % DIM == n for c in text)) + 0.1 for n in range(DIM)] for text in texts]
        return Embeddings(normalised(np.array(counts, np.float32).reshape(len(texts), DIM)))

    embed_passages = embed_queries


def _views(count: int = 80, *, seed: int = 0) -> ViewVectors:
    """FAQs whose views agree in the first half of the dimensions and are noise in the louder second."""
    rng = np.random.default_rng(seed)
    meaning = rng.standard_normal((count, DIM // 2))

    def view() -> NDArray[np.float32]:
        noise = 2 * rng.standard_normal((count, DIM // 2))
        return normalised(np.hstack([meaning, noise]).astype(np.float32))

    return ViewVectors(view(), view(), np.stack([view(), view()]))


def _found_first(queries: NDArray[np.float32], passages: NDArray[np.float32]) -> float:
    return float(np.mean((queries @ passages.T).argmax(axis=1) == np.arange(len(queries))))


def test_training_brings_unseen_views_of_a_faq_together() -> None:
    adapter, unseen = train_adapter(_views(), "letters-1"), _views(seed=7)
    before = _found_first(unseen.expansions[0], unseen.question)
    after = _found_first(adapter.queries(unseen.expansions[0]), adapter.passages(unseen.question))
    assert after > before + 0.2


def test_training_gives_the_same_adapter_again() -> None:
    assert train_adapter(_views(), "e").version == train_adapter(_views(), "e").version


def test_training_without_expansions_says_so() -> None:
    views = _views()
    with pytest.raises(ValueError, match="expansions"):
        train_adapter(views.without(0).without(0), "letters-1")


def test_adapter_survives_saving_with_its_name(tmp_path: Path) -> None:
    adapter = train_adapter(_views(), "letters-1")
    adapter.save(tmp_path / "letters.npz")
    again = Adapter.load(tmp_path / "letters.npz")
    assert again.name == adapter.name
    assert again.query == pytest.approx(adapter.query, abs=2e-3)


def test_adapted_wraps_the_embedder_it_was_trained_on_and_no_other(tmp_path: Path) -> None:
    identity = np.eye(DIM, dtype=np.float32)
    Adapter("letters-1", identity, identity).save(tmp_path / "letters.npz")
    wrapped = adapted(LetterEmbedder(), tmp_path)
    assert isinstance(wrapped, AdaptedEmbedder)
    assert wrapped.name.startswith("letters-1+")
    texts = ["정산은 언제 되나요?", "배송비"]
    assert wrapped.embed_queries(texts).dense == pytest.approx(
        LetterEmbedder().embed_queries(texts).dense, abs=1e-6
    )
    Adapter("other", identity, identity).save(tmp_path / "letters.npz")
    assert isinstance(adapted(LetterEmbedder(), tmp_path), LetterEmbedder)
    with pytest.raises(EmbedderError, match="other"):
        AdaptedEmbedder(LetterEmbedder(), Adapter("other", identity, identity))


def test_damaged_adapter_names_the_file_and_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "letters.npz").write_bytes(b"no archive")
    with pytest.raises(EmbedderError, match=r"letters\.npz.*smartstore train-ranker"):
        adapted(LetterEmbedder(), tmp_path)
