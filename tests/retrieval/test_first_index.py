"""An index before its vectors: words find, rows without a vector borrow their FAQ's others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from retrieval.embedders.remembered import remembered
from retrieval.first.index import FirstIndex, first_index
from retrieval.index.base import IndexQuery
from retrieval.tokenizer import KoreanTokenizer
from tests.retrieval.index.index_kit import ASKED, SHOP, HashingEmbedder, corpus

TOKENIZER = KoreanTokenizer()


def opened(folder: Path, inner: HashingEmbedder) -> FirstIndex:
    with remembered(inner, folder, shipped=folder) as embedder:
        return first_index(corpus(*SHOP), ASKED, embedder, TOKENIZER, fingerprint="f" * 16)


def legs(index: FirstIndex, text: str) -> dict[str, np.ndarray]:
    query = IndexQuery(text, HashingEmbedder().embed_queries([text]).dense[0], TOKENIZER.tokens(text))
    scores = index.leg_scores(query)
    return {leg: values[[faq.id for faq in index.faqs()].index(SHOP[0].id)] for leg, values in scores.items()}


def test_words_alone_find_where_no_vector_is_remembered(tmp_path: Path) -> None:
    inner = HashingEmbedder()
    index = opened(tmp_path, inner)
    assert inner.embedded == []
    assert index.fingerprint == "first-" + "f" * 16
    found = legs(index, "정산은 언제 되나요?")
    assert found["lexical_question"] > 0
    assert found["dense_question"] == 0


def test_a_title_borrows_the_mean_of_its_other_wordings(tmp_path: Path) -> None:
    inner = HashingEmbedder()
    with remembered(inner, tmp_path, shipped=tmp_path) as embedder:
        wordings = embedder.embed_queries(ASKED[SHOP[0].id]).dense
        answer = embedder.embed_passages([SHOP[0].answer]).dense[0]
    found = legs(opened(tmp_path, HashingEmbedder()), "정산 주기")
    asked = HashingEmbedder().embed_queries(["정산 주기"]).dense[0]
    mean = np.vstack([wordings, answer]).mean(axis=0)
    assert found["dense_expansion"] == pytest.approx(1.0, abs=1e-3)
    assert found["dense_question"] == pytest.approx(asked @ mean / np.linalg.norm(mean), abs=1e-3)
    assert found["dense_answer"] == pytest.approx(asked @ answer, abs=1e-2), "its own is remembered"
