"""Follow-ups become standalone questions; what stands by itself is left alone (on the bundled sample)."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.conversation.context import ContextResolver, Resolution
from api.conversation.memory import Memory, RememberedTurn
from retrieval.offers.wording import offer_text
from retrieval.search import Searcher
from tests.api.sample_search import sample_searcher

MINORS = "미성년자도 판매자로 가입할 수 있나요?"


@pytest.fixture(scope="module")
def searcher(data_dir: Path) -> Searcher:
    return sample_searcher(data_dir)


@pytest.fixture(scope="module")
def resolver(searcher: Searcher) -> ContextResolver:
    return ContextResolver(searcher)


def _after(searcher: Searcher, *questions: str) -> Memory:
    turns = []
    for question in questions:
        best = searcher.search(question).hits[0].faq
        turns.append(RememberedTurn(question, question, "답", "answered", (best.id,)))
    return Memory(tuple(turns))


def _titles(resolution: Resolution, count: int = 5) -> list[str]:
    return [hit.faq.question for hit in resolution.result.hits[:count]]


def test_context_without_history_leaves_the_question_alone(resolver: ContextResolver) -> None:
    resolution = resolver.resolve("그럼 서류는 뭐가 필요해?", Memory())
    assert resolution.standalone == "그럼 서류는 뭐가 필요해?"
    assert not resolution.followup


def test_context_finds_what_a_follow_up_leans_on(searcher: Searcher, resolver: ContextResolver) -> None:
    resolution = resolver.resolve("그럼 서류는 뭐가 필요해?", _after(searcher, MINORS))
    assert resolution.followup
    assert resolution.standalone.endswith("서류는 뭐가 필요해?")
    assert resolution.standalone != "그럼 서류는 뭐가 필요해?"
    # The bare question's best hit, too, which keeps its place.
    [best] = _titles(resolution, 1)
    assert "미성년자" in best
    assert "서류" in best
    assert best == searcher.search("그럼 서류는 뭐가 필요해?").hits[0].faq.question


def test_context_turns_a_follow_up_towards_its_topic_and_no_further(
    searcher: Searcher, resolver: ContextResolver
) -> None:
    question = "그럼 서류는 뭐가 필요해?"
    memory = _after(searcher, MINORS)
    asked = searcher.search(question).meaning
    topic = searcher.search(memory.turns[0].standalone).hits[0].faq.question
    said = searcher.search(topic).meaning
    mixed = resolver.resolve(question, memory).result.meaning
    assert mixed @ mixed == pytest.approx(1.0, abs=1e-3)
    assert asked @ said < mixed @ said < mixed @ asked


@pytest.mark.parametrize("question", ["언제까지 쓸 수 있어요?", "그건 누가 부담하나요?", "취소하면요?"])
def test_context_recognises_follow_ups(searcher: Searcher, resolver: ContextResolver, question: str) -> None:
    assert resolver.resolve(question, _after(searcher, "쿠폰을 만드는 방법을 알려 주세요.")).followup


def test_context_is_not_polluted_by_a_change_of_topic(searcher: Searcher, resolver: ContextResolver) -> None:
    question = "정산 계좌를 다른 은행으로 바꾸는 방법"
    resolution = resolver.resolve(question, _after(searcher, MINORS))
    assert not resolution.followup
    assert resolution.standalone == question
    assert _titles(resolution) == [hit.faq.question for hit in searcher.search(question).hits[:5]]


def test_context_takes_a_clicked_follow_up_as_it_is(searcher: Searcher, resolver: ContextResolver) -> None:
    title = searcher.search("인증번호 문자가 안 와요").hits[0].faq.question
    resolution = resolver.resolve(title, _after(searcher, MINORS))
    assert not resolution.followup
    assert _titles(resolution, 1) == [title]


def test_context_takes_an_offer_sent_back_as_worded(searcher: Searcher, resolver: ContextResolver) -> None:
    faq = searcher.search("반품 배송비는 누가 내나요?").hits[0].faq
    memory = Memory((RememberedTurn(MINORS, MINORS, "답", "answered", ("-",), suggested=(faq.id,)),))
    resolution = resolver.resolve(offer_text(faq), memory)
    assert resolution.standalone == faq.question
    assert resolution.result.hits[0].faq.id == faq.id


@pytest.mark.parametrize("question", ["오늘 저녁 여의도 맛집 추천해줘", "비트코인 지금 사도 될까"])
def test_context_does_not_draw_off_topic_into_the_talk(
    searcher: Searcher, resolver: ContextResolver, question: str
) -> None:
    assert not resolver.resolve(question, _after(searcher, MINORS)).followup


def test_context_skips_refused_turns(searcher: Searcher, resolver: ContextResolver) -> None:
    memory = _after(searcher, MINORS)
    refused = RememberedTurn("오늘 날씨 어때", "오늘 날씨 어때", "거절", "off_topic")
    resolution = resolver.resolve("그럼 서류는 뭐가 필요해?", Memory((*memory.turns, refused)))
    assert any("미성년자" in title for title in _titles(resolution, 3))


def test_context_explains_the_same_faq_again_when_asked_to(
    searcher: Searcher, resolver: ContextResolver
) -> None:
    memory = _after(searcher, MINORS)
    resolution = resolver.resolve("그거 더 자세히 설명해 주세요", memory)
    assert resolution.result.hits[0].faq.id == memory.turns[-1].answered[0]


def test_context_survives_a_faq_that_is_gone(resolver: ContextResolver) -> None:
    gone = RememberedTurn("정산은?", "정산은 언제 되나요?", "답", "answered", ("000000000000",))
    assert resolver.resolve("그럼 수수료는요?", Memory((gone,))).result.hits


def test_context_hears_a_wish_for_more_of_the_same_faq(searcher: Searcher, resolver: ContextResolver) -> None:
    memory = _after(searcher, MINORS)
    resolution = resolver.resolve("더 자세히 알려줘", memory)
    assert resolution.detail
    assert resolution.result.hits[0].faq.id == memory.turns[-1].answered[0]
    assert not resolver.resolve("그럼 서류는 뭐가 필요해?", memory).detail


def test_context_takes_a_choice_at_its_word(searcher: Searcher, resolver: ContextResolver) -> None:
    first, second = (hit.faq for hit in searcher.search("정산").hits[:2])
    turn = RememberedTurn("정산", "정산", "확실하지 않아", "unsure", suggested=(first.id, second.id))
    resolution = resolver.resolve(second.question, Memory((turn,)))
    assert not resolution.followup
    assert resolution.result.hits[0].faq.id == second.id


def test_context_offers_what_was_not_shown_yet(searcher: Searcher, resolver: ContextResolver) -> None:
    question = "정산은 언제 되나요?"
    shown = searcher.search(question).hits[0].faq
    turn = RememberedTurn(question, question, "답 [1]", "answered", (shown.id,))
    resolution = resolver.resolve("아니 그거 말고", Memory((turn,)))
    assert resolution.others
    assert resolution.standalone == question
    assert shown.id not in {hit.faq.id for hit in resolution.result.hits}
    assert resolution.result.hits[0].faq.id == searcher.search(question).hits[1].faq.id


def test_context_passes_over_thanks_to_the_question_before(
    searcher: Searcher, resolver: ContextResolver
) -> None:
    memory = _after(searcher, MINORS)
    thanks = RememberedTurn(
        "고마워요", "고마워요", "도움이 되었다니 다행입니다.", "off_topic", intent="thanks"
    )
    person = RememberedTurn("상담원 연결", "상담원 연결", "저는", "not_found", intent="person")
    resolution = resolver.resolve("그럼 서류는 뭐가 필요해?", Memory((*memory.turns, thanks, person)))
    assert resolution.followup
    assert any("미성년자" in title for title in _titles(resolution, 3))


@pytest.mark.parametrize("question", ["상담원 연결해줘", "고마워요", "안녕하세요"])
def test_context_leaves_a_greeting_alone(
    searcher: Searcher, resolver: ContextResolver, question: str
) -> None:
    assert resolver.resolve(question, _after(searcher, MINORS)).standalone == question
