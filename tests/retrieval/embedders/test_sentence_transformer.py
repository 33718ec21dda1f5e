"""sentence-transformers on tiny random checkpoints: pooling, sparse head, prompts, cutting, faults."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="NOT TESTED: needs sentence-transformers (pip install '.[st]')")

from retrieval.embedders.sentence_transformer import SentenceTransformer  # noqa: E402
from retrieval.errors import EmbedderError  # noqa: E402
from tests.retrieval.embedders.tiny_checkpoints import TEXTS, save_tiny_bge  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_bge(tmp_path_factory.mktemp("bge"))


def by_hand(folder: Path, text: str) -> tuple[np.ndarray, dict[int, float]]:
    """The paper's formulas, one text at a time, without padding."""
    from transformers import XLMRobertaModel, XLMRobertaTokenizer

    ids = XLMRobertaTokenizer.from_pretrained(folder)(text)["input_ids"]
    head = torch.load(folder / "sparse_linear.pt", weights_only=True)
    with torch.no_grad():
        hidden = XLMRobertaModel.from_pretrained(folder).eval()(torch.tensor([ids])).last_hidden_state[0]
        weights = torch.relu(hidden @ head["weight"][0] + head["bias"])
    lexical: dict[int, float] = {}
    for id, weight in zip(ids, weights.tolist(), strict=True):
        if id > 3 and weight > 0:
            lexical[id] = max(weight, lexical.get(id, 0.0))
    return (hidden[0] / hidden[0].norm()).numpy(), lexical


def test_bge_m3_pools_and_weighs_as_the_paper_says(folder: Path) -> None:
    found = SentenceTransformer(str(folder), batch_size=3).embed_passages(TEXTS)

    assert found.sparse is not None
    assert any(found.sparse)
    for n, text in enumerate(TEXTS):
        dense, lexical = by_hand(folder, text)
        np.testing.assert_allclose(found.dense[n], dense, atol=1e-5)
        assert found.sparse[n] == pytest.approx(lexical, abs=1e-5)


def test_sparse_weights_leave_special_tokens_out(folder: Path) -> None:
    found = SentenceTransformer(str(folder)).embed_queries(TEXTS)

    assert found.sparse is not None
    assert not {id for weights in found.sparse for id in weights} & {0, 1, 2, 3}


def test_checkpoint_without_a_sparse_head_is_dense(tmp_path: Path) -> None:
    embedder = SentenceTransformer(str(save_tiny_bge(tmp_path, head=False)))

    assert embedder.embed_queries(TEXTS).sparse is None
    assert embedder.embed_queries([]).sparse is None


def test_questions_and_passages_get_the_prompts_of_the_checkpoint(tmp_path: Path) -> None:
    prompts = {"query": "정산 ", "document": "반품 "}
    embedder = SentenceTransformer(str(save_tiny_bge(tmp_path, head=False, prompts=prompts)))

    np.testing.assert_allclose(embedder.embed_queries(["배송"]).dense[0], by_prompt(tmp_path, "정산 배송"))
    np.testing.assert_allclose(embedder.embed_passages(["배송"]).dense[0], by_prompt(tmp_path, "반품 배송"))


def by_prompt(folder: Path, text: str) -> np.ndarray:
    import sentence_transformers

    return sentence_transformers.SentenceTransformer(str(folder), device="cpu").encode(text)


def test_text_that_is_too_long_is_cut(folder: Path) -> None:
    embedder = SentenceTransformer(str(folder))
    found = embedder.embed_passages(["정산" * 500, "정산" * 501])

    np.testing.assert_allclose(found.dense[0], found.dense[1], atol=1e-5)


def test_head_of_another_size_says_so(tmp_path: Path) -> None:
    save_tiny_bge(tmp_path)
    torch.save(torch.nn.Linear(8, 1).state_dict(), tmp_path / "sparse_linear.pt")
    with pytest.raises(EmbedderError, match="can be loaded"):
        SentenceTransformer(str(tmp_path))


def test_empty_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(EmbedderError, match="can be loaded"):
        SentenceTransformer(str(tmp_path))


def test_model_that_the_hub_does_not_give_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(EmbedderError, match="can be loaded"):
        SentenceTransformer("nobody/no-such-model")
