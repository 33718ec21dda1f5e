"""Hybrid search end to end: real embedder, real tokens, a small part of the sample FAQ."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from retrieval.corpus.expansions import read_expansions
from retrieval.corpus.faq import Corpus, read_corpus
from retrieval.embedders.e5.small import E5Small
from retrieval.index.base import LEGS
from retrieval.index.build import build_index
from retrieval.index.opening import open_index
from retrieval.ranking.ranker import Ranker
from retrieval.search import Searcher
from retrieval.tokenizer import KoreanTokenizer

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


@pytest.fixture(scope="module")
def sample() -> Corpus:
    whole = read_corpus(CONFIGS / "faq/sample.jsonl")
    return replace(whole, faqs=whole.faqs[::6])


@pytest.fixture(scope="module")
def searcher(sample: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Searcher:
    uri = str(tmp_path_factory.mktemp("search") / "faq.db")
    embedder, tokenizer = E5Small(), KoreanTokenizer()
    build_index(sample, read_expansions(CONFIGS / "expansions/sample.jsonl"), embedder, tokenizer, uri)
    index = open_index(uri, embedder=embedder.name, tokenizer=tokenizer.version)
    return Searcher(index, embedder, tokenizer, Ranker.load())


def test_search_finds_every_faq_by_its_own_question(searcher: Searcher, sample: Corpus) -> None:
    found = [searcher.search(faq.question).hits[0].faq for faq in sample.faqs]

    assert found == list(sample.faqs)


def test_search_does_not_mind_missing_spaces(searcher: Searcher, sample: Corpus) -> None:
    faqs = sample.faqs[::3]
    found = [searcher.search(faq.body_question.replace(" ", "")).hits[0].faq for faq in faqs]

    assert sum(one == other for one, other in zip(found, faqs, strict=True)) >= len(faqs) - 1


def test_search_ranks_best_first_and_says_how_sure_it_is(searcher: Searcher) -> None:
    hits = searcher.search("가입 심사는 며칠이나 걸려요?", limit=7).hits

    assert len(hits) == 7
    scores = [hit.score for hit in hits]
    assert scores == sorted(scores, reverse=True)
    assert all(0.0 <= score <= 1.0 for score in scores)
    assert set(hits[0].scores) == set(LEGS)


def test_search_tells_what_it_searched_with(searcher: Searcher) -> None:
    result = searcher.search("반품 배송비는 누가 내나요?", limit=1)

    assert result.query == "반품 배송비는 누가 내나요?"
    assert result.tokens == searcher.tokenizer.tokens(result.query)
    assert np.linalg.norm(result.dense) == pytest.approx(1.0, abs=1e-4)
    assert result.fingerprint == searcher.index.fingerprint
    assert {"embed", "search", "rank"} <= set(result.timings_ms)
    assert all(ms >= 0.0 for ms in result.timings_ms.values())


@pytest.mark.parametrize("text", ["?", "ㅋㅋ", "🙂", "\n", "zz zz", "가" * 2_000])
def test_search_takes_any_text(searcher: Searcher, text: str) -> None:
    assert len(searcher.search(text, limit=3).hits) == 3


def test_search_gives_the_same_in_every_thread(searcher: Searcher, sample: Corpus) -> None:
    texts = [faq.question for faq in sample.faqs[:4]]
    alone = [[hit.faq.id for hit in searcher.search(text).hits] for text in texts]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(searcher.search, texts * 2))

    assert [[hit.faq.id for hit in result.hits] for result in together] == alone * 2
