"""The cross-encoder on a tiny random model of its architecture."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="NOT TESTED: the reranker needs torch (pip install '.[bge]')")

from retrieval.errors import EmbedderError  # noqa: E402
from retrieval.ranking.cross_encoder import CrossEncoder  # noqa: E402
from retrieval.ranking.ranker import Hit  # noqa: E402
from tests.retrieval.embedders.tiny_bge import TEXTS, save_tiny_reranker  # noqa: E402
from tests.retrieval.index.index_kit import faq  # noqa: E402

HITS = [Hit(faq(text, text), 0.5, {}) for text in TEXTS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_reranker(tmp_path_factory.mktemp("reranker"))


def by_hand(folder: Path, question: str, hit: Hit) -> float:
    """One pair at a time, without padding."""
    from transformers import XLMRobertaForSequenceClassification, XLMRobertaTokenizer

    text = f"{hit.faq.question}\n{hit.faq.answer}"
    given = XLMRobertaTokenizer.from_pretrained(folder)(question, text, return_tensors="pt")
    with torch.no_grad():
        logits = XLMRobertaForSequenceClassification.from_pretrained(folder).eval()(**given).logits
    return float(torch.sigmoid(logits[0, 0]))


def test_reranker_orders_by_both_probabilities(folder: Path) -> None:
    found = CrossEncoder(str(folder)).rerank("정산", HITS)
    wanted = {hit.faq.id: (0.5 + by_hand(folder, "정산", hit)) / 2 for hit in HITS}
    assert [hit.faq.id for hit in found] == sorted(wanted, key=lambda id: -wanted[id])
    assert [hit.score for hit in found] == pytest.approx([wanted[hit.faq.id] for hit in found], abs=1e-5)


def test_reranker_leaves_what_lies_deeper(folder: Path) -> None:
    found = CrossEncoder(str(folder), depth=2).rerank("반품", HITS)
    assert found[2:] == HITS[2:]
    assert {hit.faq.id for hit in found[:2]} == {hit.faq.id for hit in HITS[:2]}


def test_reranker_cuts_long_answers_and_takes_nothing(folder: Path) -> None:
    reranker = CrossEncoder(str(folder))
    long = Hit(faq("정산은 언제 되나요?", "정산 " * 500), 0.5, {})
    assert len(reranker.rerank("정산", [long, HITS[1]])) == 2
    assert reranker.rerank("정산", []) == []


def test_wrong_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(EmbedderError, match="cannot be loaded"):
        CrossEncoder(str(tmp_path))
    with pytest.raises(EmbedderError, match="3 labels"):
        CrossEncoder(str(save_tiny_reranker(tmp_path, labels=3)))
