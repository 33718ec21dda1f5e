"""Plays turns through the real conversation and keeps what a session would remember of them.

Knows the events of a turn; does not know case files, measures or where turns are stored.
"""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass

from api.conversation.answer import Conversation
from api.conversation.memory import Memory, RememberedTurn
from api.events import QuestionRewritten, Sources, Suggestion, Suggestions, TurnCompleted, Verdict
from api.turns.runners.base import TurnRequest


@dataclass(frozen=True, slots=True)
class PlayedTurn:
    """A turn as the seller saw it.

    Attributes:
        question: as asked.
        standalone: as understood.
        verdict: how it was judged.
        answer: the whole text.
        sources: ids of the FAQs given to the provider, best first.
        answered: ids of those the answer cites, in the order of the citations.
        suggestions: the follow-ups offered.
    """

    question: str
    standalone: str
    verdict: Verdict
    answer: str
    sources: tuple[str, ...]
    answered: tuple[str, ...]
    suggestions: tuple[Suggestion, ...]

    def remembered(self) -> RememberedTurn:
        """What the next turn of the session knows of this one."""
        return RememberedTurn(
            self.question,
            self.standalone,
            self.answer,
            self.verdict,
            self.answered,
            tuple(suggestion.faq_id for suggestion in self.suggestions),
        )


async def play(conversation: Conversation, question: str, memory: Memory, *, provider: str) -> PlayedTurn:
    """Asks `question` with `memory` before it. Raises `ApiError` where no answer is possible."""
    request = TurnRequest("evaluation", "evaluation", question, provider)
    standalone, sources, suggestions = question, Sources(sources=()), Suggestions(suggestions=())
    completed = TurnCompleted(answer="", verdict="not_found")
    async with aclosing(conversation.answer(request, memory)) as events:
        async for event in events:
            match event:
                case QuestionRewritten():
                    standalone = event.standalone
                case Sources():
                    sources = event
                case Suggestions():
                    suggestions = event
                case TurnCompleted():
                    completed = event
                case _:
                    pass
    ids = {source.n: source.faq_id for source in sources.sources}
    return PlayedTurn(
        question,
        standalone,
        completed.verdict,
        completed.answer,
        tuple(ids.values()),
        tuple(dict.fromkeys(ids[n] for n in completed.citations if n in ids)),
        suggestions.suggestions,
    )
