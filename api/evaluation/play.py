"""Plays turns through the real conversation and keeps what a session would remember of them.

Knows the events of a turn; does not know case files, measures or where turns are stored.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from api.conversation.answer import Conversation
from api.conversation.memory import Memory, RememberedTurn
from api.evaluation.rows import CasesError
from api.events import (
    Delta,
    Intent,
    QuestionRewritten,
    Sources,
    Suggestion,
    Suggestions,
    TurnCompleted,
    Usage,
    Verdict,
)
from api.turns.runners.base import TurnRequest
from api.turns.transcript import Transcript
from retrieval.training.metrics import percentile


class FallbackAnswered(CasesError):
    """What was measured is not the provider that was asked: others answered a `share` of its turns."""

    def __init__(self, provider: str, share: float, allowed: float) -> None:
        self.provider, self.share = provider, share
        super().__init__(
            f"another provider than {provider} answered {share:.1%} of the turns, {allowed:.1%} are allowed "
            "(--max-fallback): see answered_by, and `smartstore serve`'s GET /providers for what is wrong"
        )


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
        suggestions: the follow-ups or choices offered.
        provider: who answered; another than was asked where that one failed.
        first_ms: until the first text, in milliseconds.
        total_ms: until the turn was over.
        intent: what was wanted where nothing was asked of the FAQ.
        usage: tokens of the answer; of what else a model was asked in the turn nothing is known.
        dropped_citations: citations of passages that were not given.
        ungrounded: sentences with a figure or menu of no FAQ they cite.
        truncated: the answer was cut.
    """

    question: str
    standalone: str
    verdict: Verdict
    answer: str
    sources: tuple[str, ...]
    answered: tuple[str, ...]
    suggestions: tuple[Suggestion, ...]
    provider: str = ""
    first_ms: float = 0.0
    total_ms: float = 0.0
    intent: Intent = "question"
    usage: Usage = Usage()
    dropped_citations: int = 0
    ungrounded: int = 0
    truncated: bool = False

    def remembered(self) -> RememberedTurn:
        """What the next turn of the session knows of this one."""
        return RememberedTurn(
            self.question,
            self.standalone,
            self.answer,
            self.verdict,
            self.answered,
            tuple(suggestion.faq_id for suggestion in self.suggestions),
            self.intent,
        )


async def play(conversation: Conversation, question: str, memory: Memory, *, provider: str) -> PlayedTurn:
    """Asks `question` with `memory` before it. Raises `ApiError` where no answer is possible."""
    request = TurnRequest("evaluation", "evaluation", question, provider)
    standalone, sources, suggestions = question, Sources(sources=()), Suggestions(suggestions=())
    completed, transcript = TurnCompleted(verdict="not_found"), Transcript(request)
    started, first_s = time.perf_counter(), None
    async with aclosing(conversation.answer(request, memory)) as events:
        async for event in events:
            transcript.add(event)
            match event:
                case Delta() if first_s is None:
                    first_s = time.perf_counter() - started
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
        transcript.text,
        tuple(ids.values()),
        tuple(dict.fromkeys(ids[n] for n in completed.citations if n in ids)),
        suggestions.suggestions,
        completed.provider,
        (first_s or 0.0) * 1e3,
        (time.perf_counter() - started) * 1e3,
        completed.intent,
        completed.usage,
        completed.dropped_citations,
        len(completed.ungrounded),
        completed.truncated,
    )


class Player:
    """Plays turns with one provider, and keeps who really answered and how long it took.

    Args:
        conversation: the real one.
        provider: who is asked; the settings' default for None.

    Raises:
        UnknownProvider: no such provider.
    """

    def __init__(self, conversation: Conversation, provider: str | None) -> None:
        self._conversation = conversation
        self.provider = conversation.providers.get(provider).name
        self.answered_by: Counter[str] = Counter()
        self._first_ms: list[float] = []
        self._total_ms: list[float] = []

    async def __call__(self, question: str, memory: Memory | None = None) -> PlayedTurn:
        """Plays one turn, in a session of its own without `memory`."""
        turn = await play(self._conversation, question, memory or Memory(), provider=self.provider)
        self.count(turn)
        return turn

    def count(self, turn: PlayedTurn) -> None:
        """Counts a turn in the report."""
        self.answered_by[turn.provider] += 1
        self._first_ms += [turn.first_ms] if turn.first_ms else []
        self._total_ms.append(turn.total_ms)

    @property
    def fallback_share(self) -> float:
        """Share of the turns that another provider answered, 0 to 1."""
        turns = self.answered_by.total()
        return (turns - self.answered_by[self.provider]) / turns if turns else 0.0

    def report(self) -> dict[str, Any]:
        """What a report says of the provider, beside what was measured."""
        return {
            "provider": self.provider,
            "answered_by": dict(self.answered_by),
            "fallback_share": self.fallback_share,
            "turn_ms": {
                "first_text_p50": percentile(self._first_ms, 0.5) if self._first_ms else None,
                "p50": percentile(self._total_ms, 0.5) if self._total_ms else None,
                "p95": percentile(self._total_ms, 0.95) if self._total_ms else None,
            },
        }


def check_fallback(report: Mapping[str, Any], allowed: float) -> None:
    """Raises `FallbackAnswered` where others answered more than the share `allowed`."""
    share = float(report.get("fallback_share", 0.0))
    if share > allowed:
        raise FallbackAnswered(report["provider"], share, allowed)
