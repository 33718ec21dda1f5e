"""Follow-ups find themselves, never repeat and never look alike. Real search, bundled sample."""

from __future__ import annotations

from copy import copy
from pathlib import Path

import pytest

from api.conversation.context import ContextResolver
from api.conversation.followups import FollowUps, alike
from api.conversation.memory import Memory, RememberedTurn
from api.events import Suggestion
from retrieval.offers.known import Offers
from retrieval.scope.classifier import ScopeClassifier
from retrieval.search import Searcher
from tests.api.sample_search import sample_searcher

QUESTIONS = (
    "반품 배송비는 누가 내나요?",
    "정산은 언제 들어와요?",
    "쿠폰 만드는 방법",
    "2단계 인증 방법을 바꾸고 싶어요",
    "송장번호 잘못 넣었어요",
    "상품에 동영상 넣을 수 있나요",
)


@pytest.fixture(scope="module")
def searcher(data_dir: Path) -> Searcher:
    return sample_searcher(data_dir)


@pytest.fixture(scope="module")
def followups(searcher: Searcher) -> FollowUps:
    return FollowUps(searcher)


def _offered(
    searcher: Searcher, followups: FollowUps, question: str, memory: Memory | None = None
) -> tuple[Suggestion, ...]:
    memory = memory or Memory()
    resolution = ContextResolver(searcher).resolve(question, memory)
    verdict = ScopeClassifier.load().judge(question, resolution.result, followup=resolution.followup)
    return followups.suggest(resolution.result, verdict, memory, resolution.standalone)


@pytest.mark.parametrize("question", QUESTIONS)
def test_followups_find_their_own_faq_first(searcher: Searcher, followups: FollowUps, question: str) -> None:
    offered = _offered(searcher, followups, question)
    assert 1 <= len(offered) <= 3
    best = searcher.search(question).hits[0].faq.id
    for suggestion in offered:
        assert searcher.search(suggestion.question).hits[0].faq.id == suggestion.faq_id
        assert searcher.search(suggestion.text).hits[0].faq.id == suggestion.faq_id
        assert suggestion.text.endswith(("안내해드릴까요?", "궁금하신가요?"))
        assert suggestion.faq_id != best


def test_followups_are_never_repeated_in_a_session(searcher: Searcher, followups: FollowUps) -> None:
    memory = Memory()
    seen: set[str] = set()
    for question in QUESTIONS * 2:
        offered = _offered(searcher, followups, question, memory)
        ids = {suggestion.faq_id for suggestion in offered}
        assert not ids & seen
        best = searcher.search(question).hits[0].faq.id
        seen |= {*ids, best}
        turn = RememberedTurn(question, question, "답", "answered", (best,), tuple(ids))
        memory = Memory((*memory.turns, turn))


def test_followups_that_a_told_history_offers_are_not_repeated(
    searcher: Searcher, followups: FollowUps
) -> None:
    question = QUESTIONS[0]
    first = _offered(searcher, followups, question)
    answer = "답입니다 [1].\n\n" + "\n".join(f"  - {offer.text}" for offer in first)
    memory = Memory((RememberedTurn(question, question, answer, "answered"),))
    again = _offered(searcher, followups, "반품 배송비 정책을 알려 주세요", memory)
    assert again
    assert not {offer.faq_id for offer in first} & {offer.faq_id for offer in again}


def test_followups_lead_back_to_the_store_after_off_topic(searcher: Searcher, followups: FollowUps) -> None:
    first = _offered(searcher, followups, "오늘 저녁 여의도 맛집 추천해줘")
    assert len(first) == 3
    assert first == _offered(searcher, followups, "내일 비 와?")
    best = searcher.search("쿠폰 만드는 방법").hits[0].faq
    memory = Memory((RememberedTurn("쿠폰", "쿠폰", "답", "answered", (best.id,)),))
    back = _offered(searcher, followups, "오늘 저녁 여의도 맛집 추천해줘", memory)
    assert back
    assert back[0].faq_id != best.id
    assert back != first


def test_followups_never_pad(searcher: Searcher, followups: FollowUps) -> None:
    everything = tuple(hit.faq.id for hit in searcher.search("정산은 언제 들어와요?", limit=1000).hits)
    memory = Memory((RememberedTurn("x", "x", "답", "answered", everything),))
    assert _offered(searcher, followups, "정산은 언제 들어와요?", memory) == ()


def test_followups_that_the_build_knows_are_not_searched(searcher: Searcher, followups: FollowUps) -> None:
    assert searcher.index.offers is not None
    fresh, unknowing = FollowUps(searcher), FollowUps(without_offers(searcher))
    for question in QUESTIONS:
        assert _offered(searcher, fresh, question) == _offered(searcher, unknowing, question)
    assert fresh.remembered == 0
    assert unknowing.remembered > 0


def test_followups_judged_by_another_ranker_are_searched_again(searcher: Searcher) -> None:
    other = without_offers(searcher)
    known = searcher.index.offers
    assert known is not None
    other.index.offers = Offers("another", known.by_id)
    followups = FollowUps(other)
    assert _offered(searcher, followups, QUESTIONS[0])
    assert followups.remembered > 0


def without_offers(searcher: Searcher) -> Searcher:
    """The same search over an index whose titles were not looked up."""
    index = copy(searcher.index)
    index.offers = None
    return searcher.over(index)


def test_followups_search_nothing_twice(searcher: Searcher) -> None:
    followups = FollowUps(without_offers(searcher))
    first = _offered(searcher, followups, QUESTIONS[0])
    known = followups.remembered
    assert known > 0
    assert _offered(searcher, followups, QUESTIONS[0]) == first
    assert followups.remembered == known


def test_alike_titles_are_told_from_different_ones() -> None:
    assert alike("대출 가능 시간은 어떻게 되나요?", "대출 가능 시간은 어떻게 되나요")
    assert not alike("대출 가능 시간은 어떻게 되나요?", "쿠폰은 어디서 만드나요?")
