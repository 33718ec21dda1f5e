"""The cross-encoder on a tiny random model of its architecture."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="NOT TESTED: needs sentence-transformers (pip install '.[st]')")

from retrieval.errors import EmbedderError  # noqa: E402
from retrieval.ranking.cross_encoder import CrossEncoder  # noqa: E402
from tests.retrieval.embedders.tiny_checkpoints import TEXTS, save_tiny_reranker  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_reranker(tmp_path_factory.mktemp("reranker"))


def by_hand(folder: Path, question: str, text: str) -> float:
    """One pair at a time, without padding."""
    from transformers import XLMRobertaForSequenceClassification, XLMRobertaTokenizer

    given = XLMRobertaTokenizer.from_pretrained(folder)(question, text, return_tensors="pt")
    with torch.no_grad():
        logits = XLMRobertaForSequenceClassification.from_pretrained(folder).eval()(**given).logits
    return float(torch.sigmoid(logits[0, 0]))


def test_probabilities_are_those_of_the_checkpoint(folder: Path) -> None:
    found = CrossEncoder(str(folder)).probabilities("정산", TEXTS)

    assert found == pytest.approx([by_hand(folder, "정산", text) for text in TEXTS], abs=1e-5)


def test_text_that_is_too_long_is_cut(folder: Path) -> None:
    reranker = CrossEncoder(str(folder))

    assert reranker.probabilities("정산", ["정산 " * 500]) == pytest.approx(
        reranker.probabilities("정산", ["정산 " * 501])
    )


def test_wrong_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(EmbedderError, match="cannot be loaded"):
        CrossEncoder(str(tmp_path))
    with pytest.raises(EmbedderError, match="3 labels"):
        CrossEncoder(str(save_tiny_reranker(tmp_path, labels=3)))
