"""What is asked in training is asked of an index that lacks it, whichever FAQs it is a way of asking for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from retrieval.corpus.faq import Corpus, read_corpus
from retrieval.embedders.e5.small import E5Small
from retrieval.index.base import LEGS, IndexQuery
from retrieval.ranking.ranker import Ranker
from retrieval.tokenizer import KoreanTokenizer
from retrieval.training.data import CorpusViews, RankedQuery, corpus_views, ranked_query
from retrieval.training.held_out import HeldOut, held_out
from retrieval.training.run import asked_queries
from retrieval.training.scope_examples import asked_examples
from tests.api.live import ROOT

SAMPLE = read_corpus(ROOT / "configs" / "faq" / "sample.jsonl")
FAQS = SAMPLE.faqs[:12]
# One question that two FAQs answer, among other ways of asking for them.
SHARED = "사장 바뀌면 어캐요"
TWO = (FAQS[0].id, FAQS[1].id)
OTHER = "통장에 언제 꽂혀요"
WAYS = {FAQS[0].id: ("첫 가게를 열고 싶어요", SHARED), FAQS[1].id: (SHARED,), FAQS[2].id: (OTHER,)}
EMBEDDER, TOKENIZER = E5Small(), KoreanTokenizer()


@pytest.fixture(scope="module")
def views() -> CorpusViews:
    corpus: Corpus = replace(SAMPLE, faqs=FAQS)
    return corpus_views(corpus, WAYS, EMBEDDER, TOKENIZER)


@pytest.fixture(scope="module")
def corpus(views: CorpusViews) -> HeldOut:
    return held_out(views.rows, WAYS, EMBEDDER, TOKENIZER, Ranker.load(embedder="another"))


def nearest(query: RankedQuery) -> float:
    """The cosine of the nearest way of asking."""
    return float(query.legs[:, LEGS.index("dense_expansion")].max())


def test_labelled_question_is_asked_of_an_index_that_lacks_it(views: CorpusViews) -> None:
    vector = EMBEDDER.embed_queries([SHARED]).dense[0]
    query = IndexQuery(SHARED, vector, TOKENIZER.tokens(SHARED))

    (held,) = asked_queries(views, None, EMBEDDER, [(SHARED, TWO)])

    assert nearest(ranked_query(views.index(None), query, TWO)) > 0.99
    assert nearest(held) < 0.99
    assert held.relevant.sum() == 2


def test_labelled_questions_keep_their_order(views: CorpusViews) -> None:
    asked = [(SHARED, TWO), ("모르는 질문", (FAQS[5].id,)), (OTHER, (FAQS[2].id,))]

    assert [int(query.relevant.sum()) for query in asked_queries(views, None, EMBEDDER, asked)] == [2, 1, 1]


def test_held_out_searcher_lacks_the_text_under_every_faq(corpus: HeldOut) -> None:
    known, hidden = (
        [hit.scores["dense_expansion"] for hit in searcher.search(SHARED).hits if hit.faq.id in TWO]
        for searcher in (corpus.full, corpus.without(SHARED))
    )

    assert len(known) == len(hidden) == 2
    assert min(known) > 0.99 > max(hidden)


def test_asked_examples_take_any_of_their_faqs_for_right(corpus: HeldOut) -> None:
    title = FAQS[4].question
    found = list(asked_examples(corpus, {title: (FAQS[9].id, FAQS[4].id), "무관": ("0" * 12,)}))

    assert [(one.label, one.group, one.rank) for one in found] == [("in_scope", "asked", 1)]
