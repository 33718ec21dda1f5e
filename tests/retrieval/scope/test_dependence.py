"""Questions in the light of a topic: dependence, mixed queries, and how they read."""

from __future__ import annotations

import numpy as np
import pytest

from retrieval.index.base import LEGS, Candidate, IndexQuery
from retrieval.scope.classifier import ScopeVerdict
from retrieval.scope.dependence import (
    CONTEXT_FILE,
    DependenceGate,
    compose,
    dependence_features,
    mixed_query,
    rank_in_context,
    topic_of,
    undo_repeats,
)
from retrieval.search import SearchResult
from tests.retrieval.index.index_kit import faq

SCOPE = ScopeVerdict("answered", {"bare": 0.1, "in_scope": 0.5}, 0.5)


def _query(*tokens: str, at: int = 0) -> IndexQuery:
    vector = np.zeros(4, np.float32)
    vector[at] = 1.0
    return IndexQuery(" ".join(tokens), vector, tokens)


def _candidate(title: str, dense: float, lexical: float, answer: str = "") -> Candidate:
    scores = {leg: dense if leg.startswith("dense") else lexical for leg in LEGS}
    return Candidate(faq(title, answer) if answer else faq(title), scores)


def test_mixed_query_weighs_the_question_over_the_topic() -> None:
    mixed = mixed_query(_query("언제"), _query("정산", "계좌", at=1), dense=0.5, lexical=0.5)
    assert mixed.dense[0] == pytest.approx(2 * mixed.dense[1])
    assert float(np.linalg.norm(mixed.dense)) == pytest.approx(1.0)
    assert mixed.tokens.count("언제") == 2 * mixed.tokens.count("정산")


def test_mixed_query_does_not_count_shared_terms_twice() -> None:
    mixed = mixed_query(_query("정산", "언제"), _query("정산", at=1), dense=0.5, lexical=0.5)
    assert mixed.tokens.count("정산") == mixed.tokens.count("언제")


def test_undo_repeats_brings_scores_back() -> None:
    mixed = mixed_query(_query("언제"), _query("정산", at=1), dense=0.5, lexical=0.5)
    [back] = undo_repeats(mixed, [_candidate("정산은 언제 되나요?", 0.8, 12.0)])
    assert back.scores["lexical_question"] == pytest.approx(3.0)
    assert back.scores["dense_question"] == pytest.approx(0.8)


def test_rank_in_context_steps_back_from_the_last_answer() -> None:
    before, near = _candidate("정산은 언제 되나요?", 0.9, 9.0), _candidate("정산 계좌를 바꾸려면?", 0.88, 8.8)
    far = _candidate("로고는 어디서 올리나요?", 0.1, 0.0)
    candidates, asked = [before, near, far], ("수수료",)
    assert rank_in_context(candidates, before="", asked=asked)[0].faq.id == before.faq.id
    assert rank_in_context(candidates, before=before.faq.id, asked=asked)[0].faq.id == near.faq.id
    assert rank_in_context([], before="", asked=asked) == []


def test_rank_in_context_keeps_the_last_answer_where_it_speaks_of_what_is_asked() -> None:
    before = _candidate("미성년자도 가입할 수 있나요?", 0.9, 9.0, answer="동의서 등 서류를 내면 됩니다.")
    near = _candidate("가입 서류는 어디로 보내나요?", 0.88, 8.8)
    candidates = [near, before, _candidate("로고는 어디서 올리나요?", 0.1, 0.0)]
    for asked, first in ((("서류", "필요"), before), (("서류", "필요", "우편", "주소"), near)):
        hits = rank_in_context(candidates, before=before.faq.id, asked=asked)
        assert hits[0].faq.id == first.faq.id


@pytest.mark.parametrize(
    ("title", "topic"),
    [
        ("정산 계좌는 어떻게 변경하나요?", "정산 계좌"),
        ("[라이브] 방송 예고는 어디서 등록하나요?", "라이브 방송 예고"),
        ("[쿠폰] 쿠폰 발급 방법", "쿠폰 발급 방법"),
        ("빠른정산이란 무엇인가요?", "빠른정산이란"),
        ("미성년자도 판매자로 가입할 수 있나요?", "미성년자도 판매자로 가입"),
        ("할 수 있나요?", "할 수"),
    ],
)
def test_topic_is_the_short_form_of_a_title(title: str, topic: str) -> None:
    assert topic_of(title) == topic


def test_compose_reads_without_the_history() -> None:
    assert (
        compose("고객등급 쿠폰", "그럼 언제까지 쓸 수 있어요?")
        == "고객등급 쿠폰에 대해: 언제까지 쓸 수 있어요?"
    )
    assert compose("정산", "그럼") == "정산에 대해: 그럼"
    assert compose("", "언제 되나요?") == "언제 되나요?"


def test_gate_sees_what_points_back() -> None:
    gate = DependenceGate.load(CONTEXT_FILE)

    def leans(question: str) -> float:
        result = SearchResult(question, (), np.zeros(4, np.float32), tuple(question.split()), {})
        return gate.dependence(question, result, SCOPE)

    assert leans("그럼 언제까지요?") > leans("정산 계좌 변경 심사 서류 제출 기한 문의")
    values = dependence_features("그거 돼요?", SearchResult("", (), np.zeros(4, np.float32), (), {}), SCOPE)
    assert values[0] == 1.0
    assert np.isfinite(values).all()
