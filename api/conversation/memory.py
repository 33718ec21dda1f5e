"""What a conversation remembers of its earlier turns. Knows nothing of where it is stored."""

from __future__ import annotations

from dataclasses import dataclass

from api.events import Intent, Verdict
from retrieval.prompt import Exchange


@dataclass(frozen=True, slots=True)
class RememberedTurn:
    """A finished turn.

    Attributes:
        question: as typed.
        standalone: the same, readable without the history.
        answer: as shown, with citations.
        verdict: how it was judged.
        answered: ids of the FAQs the answer cites (the best one first).
        suggested: ids of the FAQs offered as follow-ups or choices.
        intent: what was wanted where nothing was asked of the FAQ.
    """

    question: str
    standalone: str
    answer: str
    verdict: Verdict
    answered: tuple[str, ...] = ()
    suggested: tuple[str, ...] = ()
    intent: Intent = "question"


@dataclass(frozen=True, slots=True)
class Memory:
    """The earlier turns of a session, oldest first, already bounded."""

    turns: tuple[RememberedTurn, ...] = ()

    def exchanges(self) -> tuple[Exchange, ...]:
        """The turns as question and answer, for the prompt."""
        return tuple(Exchange(t.question, t.answer) for t in self.turns)

    def seen(self) -> frozenset[str]:
        """Ids of every FAQ already answered or offered."""
        return frozenset(faq for t in self.turns for faq in (*t.answered, *t.suggested))
