"""BGE-M3 on a tiny random model of its architecture: pooling, sparse head, cutting, faults."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="NOT TESTED: BgeM3 needs torch (pip install '.[bge]')")

from retrieval.embedders.bge_m3 import BgeM3  # noqa: E402
from retrieval.errors import EmbedderError  # noqa: E402
from tests.retrieval.embedders.tiny_bge import TEXTS, save_tiny_bge  # noqa: E402


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


def test_bge_pools_and_weighs_as_the_paper_says(folder: Path) -> None:
    found = BgeM3(str(folder), batch_size=3).embed_passages(TEXTS)

    assert found.sparse is not None
    assert any(found.sparse)
    for n, text in enumerate(TEXTS):
        dense, lexical = by_hand(folder, text)
        np.testing.assert_allclose(found.dense[n], dense, atol=1e-5)
        assert found.sparse[n] == pytest.approx(lexical, abs=1e-5)


def test_bge_leaves_special_tokens_out(folder: Path) -> None:
    found = BgeM3(str(folder)).embed_queries(TEXTS)

    assert found.sparse is not None
    assert not {id for weights in found.sparse for id in weights} & {0, 1, 2, 3}


def test_bge_cuts_a_text_that_is_too_long(folder: Path) -> None:
    embedder = BgeM3(str(folder))
    found = embedder.embed_passages(["정산" * 500, "정산" * 501])

    np.testing.assert_allclose(found.dense[0], found.dense[1], atol=1e-5)


def test_bge_without_its_sparse_head_says_so(tmp_path: Path) -> None:
    with pytest.raises(EmbedderError, match=r"sparse_linear\.pt"):
        BgeM3(str(save_tiny_bge(tmp_path, head=False)))


def test_bge_with_a_head_of_another_size_says_so(tmp_path: Path) -> None:
    save_tiny_bge(tmp_path)
    torch.save(torch.nn.Linear(8, 1).state_dict(), tmp_path / "sparse_linear.pt")
    with pytest.raises(EmbedderError, match="cannot be loaded"):
        BgeM3(str(tmp_path))


def test_bge_in_an_empty_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(EmbedderError, match="cannot be loaded"):
        BgeM3(str(tmp_path))


def test_bge_that_the_hub_does_not_give_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(EmbedderError, match="the hub does not give it"):
        BgeM3("nobody/no-such-model")
