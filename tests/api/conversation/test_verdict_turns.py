"""What a seller gets for each verdict: whole turns on the bundled sample; models that give the verdict."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from api.conversation.answer import AnswerRules, Conversation
from api.conversation.context import ContextResolver
from api.conversation.followups import MAX_CHOICES, FollowUps
from api.conversation.memory import Memory
from api.evaluation.play import PlayedTurn, play
from api.events import Delta, Intent, Sources, Suggestions, TurnCompleted, TurnEvent, Verdict
from api.observability.metrics import Metrics
from api.providers.base import ChatProvider
from api.providers.choice import Providers
from api.providers.extractive import Extractive
from api.turns.runners.base import TurnRequest
from retrieval.prompt import NOT_FOUND, REFUSAL
from retrieval.quoting.glimpse import glimpse
from retrieval.scope.classifier import ScopeClassifier, ScopeVerdict
from retrieval.scope.fixed_answers import GREETING, PERSON, THANKS, UNSURE
from retrieval.search import Searcher, SearchResult
from tests.api.providers.provider_kit import endpoint, providers_for
from tests.api.providers.upstream import upstream
from tests.api.sample_search import sample_searcher

QUESTION = "정산은 언제 되나요?"
NOTHING = Memory()


@dataclass(frozen=True)
class Judged:
    """A judge of one mind, so that a test need not find a question that is judged so."""

    verdict: Verdict

    def judge(self, question: str, result: SearchResult, *, followup: bool) -> ScopeVerdict:
        judged = ScopeClassifier.load().judge(question, result, followup=followup)
        return ScopeVerdict(self.verdict, judged.probabilities)


@pytest.fixture(scope="module")
def searcher(data_dir: Path) -> Searcher:
    return sample_searcher(data_dir)


def _conversation(searcher: Searcher, provider: ChatProvider, verdict: Verdict | None = None) -> Conversation:
    return Conversation(
        context=ContextResolver(searcher),
        scope=ScopeClassifier.load() if verdict is None else Judged(verdict),  # type: ignore[arg-type]
        followups=FollowUps(searcher),
        providers=Providers({provider.name: provider}, default=provider.name),
        rules=AnswerRules("FAQ로만 답하세요."),
    )


@asynccontextmanager
async def _model(searcher: Searcher, reply: str) -> AsyncIterator[Conversation]:
    async with upstream() as server, providers_for({"small": endpoint(server)}) as found:
        server.reply = lambda body: reply
        yield _conversation(searcher, found["small"], "answered")


async def _events(conversation: Conversation, question: str, provider: str) -> list[TurnEvent]:
    request = TurnRequest("t_1", "s_1", question, provider)
    return [event async for event in conversation.answer(request, Memory())]


async def _play(conversation: Conversation, question: str, memory: Memory = NOTHING) -> PlayedTurn:
    return await play(conversation, question, memory, provider="extractive")


async def test_an_unsure_turn_says_so_and_offers_what_was_found(searcher: Searcher) -> None:
    conversation = _conversation(searcher, Extractive(searcher.tokenizer), "unsure")
    events = await _events(conversation, QUESTION, "extractive")
    [offered] = [event for event in events if isinstance(event, Suggestions)]
    found = [hit.faq.id for hit in searcher.search(QUESTION).hits]
    [sources] = [event for event in events if isinstance(event, Sources)]
    said = "".join(event.text for event in events if isinstance(event, Delta))
    likeliest = searcher.search(QUESTION).hits[0].faq
    assert said == f"{UNSURE}\n\n**{likeliest.question}**\n{glimpse(likeliest.answer)} [1]"
    assert [source.faq_id for source in sources.sources] == [likeliest.id]
    assert offered.kind == "choices"
    assert 2 <= len(offered.suggestions) <= MAX_CHOICES
    assert offered.suggestions[0].faq_id == found[0]
    assert {choice.faq_id for choice in offered.suggestions} <= {*found}
    assert all(choice.text == choice.question for choice in offered.suggestions)
    assert isinstance(events[-1], TurnCompleted)
    assert (events[-1].verdict, events[-1].citations) == ("unsure", ())


async def test_a_choice_that_is_taken_is_answered_by_its_faq(searcher: Searcher) -> None:
    provider = Extractive(searcher.tokenizer)
    unsure = await _play(_conversation(searcher, provider, "unsure"), QUESTION)
    conversation = _conversation(searcher, provider)
    for choice in unsure.suggestions:
        taken = await _play(conversation, choice.question, Memory((unsure.remembered(),)))
        assert taken.verdict == "answered"
        assert taken.sources[0] == choice.faq_id
        assert taken.answered[0] == choice.faq_id


async def test_something_else_offers_the_next_faqs(searcher: Searcher) -> None:
    conversation = _conversation(searcher, Extractive(searcher.tokenizer))
    first = await _play(conversation, QUESTION)
    memory = Memory((first.remembered(),))
    second = await _play(conversation, "아니 그거 말고", memory)
    assert (first.verdict, second.verdict) == ("answered", "unsure")
    assert second.answer.startswith(UNSURE)
    offered = {choice.faq_id for choice in second.suggestions}
    assert offered
    assert not offered & {*first.answered}
    third = await _play(conversation, "다른 거 없어요?", Memory((*memory.turns, second.remembered())))
    assert not offered & {choice.faq_id for choice in third.suggestions}


@pytest.mark.parametrize(
    ("question", "verdict", "intent", "answer"),
    [
        ("안녕하세요", "off_topic", "greeting", GREETING),
        ("감사합니다", "off_topic", "thanks", THANKS),
        ("상담원 연결해 주세요", "not_found", "person", PERSON),
        ("오늘 저녁 여의도 맛집 추천해줘", "off_topic", "question", REFUSAL),
    ],
)
async def test_what_asks_nothing_has_its_own_answer(
    searcher: Searcher, question: str, verdict: Verdict, intent: Intent, answer: str
) -> None:
    conversation = _conversation(searcher, Extractive(searcher.tokenizer))
    events = await _events(conversation, question, "extractive")
    [offered] = [event for event in events if isinstance(event, Suggestions)]
    assert offered.suggestions
    assert offered.kind == "follow_ups"
    assert "".join(event.text for event in events if isinstance(event, Delta)) == answer
    assert isinstance(events[-1], TurnCompleted)
    assert (events[-1].verdict, events[-1].intent) == (verdict, intent)


@pytest.mark.parametrize(
    ("reply", "verdict", "shown"),
    [
        (f'"{NOT_FOUND}" [1]', "not_found", NOT_FOUND),
        (f"{REFUSAL}\n[1][2]", "off_topic", REFUSAL),
        ("확실하지 않습니다.", "unsure", "확실하지 않습니다."),
    ],
)
async def test_a_model_gives_the_verdict_that_its_words_are(
    searcher: Searcher, reply: str, verdict: Verdict, shown: str
) -> None:
    async with _model(searcher, reply) as conversation:
        events = await _events(conversation, QUESTION, "small")
    assert "".join(event.text for event in events if isinstance(event, Delta)) == shown
    [offered] = [event for event in events if isinstance(event, Suggestions)]
    assert offered.kind == ("choices" if verdict == "unsure" else "follow_ups")
    assert isinstance(events[-1], TurnCompleted)
    assert (events[-1].verdict, events[-1].citations) == (verdict, ())


async def test_a_figure_that_no_cited_faq_holds_is_told(searcher: Searcher) -> None:
    async with _model(searcher, "만 19세부터 됩니다. [1] 수수료는 98.7%입니다. [1]") as conversation:
        events = await _events(conversation, QUESTION, "small")
    assert isinstance(events[-1], TurnCompleted)
    assert "수수료는 98.7%입니다." in events[-1].ungrounded


async def test_passages_beyond_the_models_window_are_not_cited(searcher: Searcher) -> None:
    async with upstream(window=900) as server, providers_for({"small": endpoint(server)}) as found:
        server.reply = lambda body: "정산은 구매확정 뒤에 됩니다 [1] [4]."
        events = await _events(_conversation(searcher, found["small"], "answered"), QUESTION, "small")
    [completed] = [event for event in events if isinstance(event, TurnCompleted)]
    assert completed.trimmed_passages >= 1
    assert (completed.verdict, completed.citations, completed.dropped_citations) == ("answered", (1,), 1)
    assert "[4]" not in "".join(e.text for e in events if isinstance(e, Delta))


@pytest.mark.parametrize(("cites", "fault"), [(True, "repaired"), (False, "uncited")])
async def test_what_is_wrong_with_a_models_answer_is_told_and_counted(
    searcher: Searcher, cites: bool, fault: str
) -> None:
    first = searcher.search(QUESTION).hits[0].faq
    reply = first.answer[:200].rstrip() if cites else "고객센터에 먼저 전화해서 물어보시는 편이 좋겠습니다."
    metrics = Metrics()
    async with _model(searcher, reply) as conversation:
        events = await _events(conversation, QUESTION, "small")
    [completed] = [event for event in events if isinstance(event, TurnCompleted)]
    metrics.observe(completed)
    assert completed.faults == (fault,)
    assert completed.citations == ((1,) if cites else ())
    assert completed.verdict == ("answered" if cites else "unsure")
    shown = "".join(event.text for event in events if isinstance(event, Delta))
    assert shown == (f"{reply} [1]" if cites else reply)
    counted = {"provider": "small", "fault": fault}
    assert metrics.registry.get_sample_value("smartstore_answer_faults_total", counted) == 1
