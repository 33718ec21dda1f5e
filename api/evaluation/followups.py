"""Evaluation of follow-ups: is there one, does it find its own FAQ, is none offered twice.

Cases are questions of any format: `query`, `text`, or the turns of a dialogue, each dialogue a session of
its own. Knows formats and shares; a turn is played and a suggestion searched by the caller.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api.conversation.memory import Memory
from api.evaluation.play import PlayedTurn
from api.evaluation.rows import CasesError, json_rows, text_of
from retrieval.training.metrics import mean

Player = Callable[[str, Memory], Awaitable[PlayedTurn]]
Finder = Callable[[str], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class OfferedTurn:
    """A turn with its follow-ups.

    Attributes:
        turn: as played.
        found: per suggestion, the id of the FAQ that its question finds first.
        seen: ids answered or offered earlier in the session.
    """

    turn: PlayedTurn
    found: tuple[str, ...]
    seen: frozenset[str]

    @property
    def repeated(self) -> int:
        """Suggestions already answered or offered, answered in this very turn, or twice in it."""
        ids = [suggestion.faq_id for suggestion in self.turn.suggestions]
        best = self.turn.answered[:1]
        return sum(n in self.seen or n in best for n in ids) + len(ids) - len(set(ids))


def read_followup_cases(path: Path) -> tuple[tuple[str, ...], ...]:
    """Reads sessions, each a tuple of questions. Raises `CasesError`."""
    sessions: list[tuple[str, ...]] = []
    for place, row in json_rows(path):
        if "turns" in row:
            turns = row["turns"]
            if not isinstance(turns, list) or not turns or not all(isinstance(t, dict) for t in turns):
                raise CasesError(f"{place}: 'turns' must be a list of objects that is not empty")
            sessions.append(tuple(text_of(turn, "user", place) for turn in turns))
        else:
            sessions.append((text_of(row, "query" if "query" in row else "text", place),))
    return tuple(sessions)


async def offer_followups(
    sessions: Iterable[Sequence[str]], player: Player, finder: Finder
) -> list[OfferedTurn]:
    """Plays every session; `finder` gives the id of the FAQ that a question finds first."""
    offered = []
    for questions in sessions:
        memory = Memory()
        for question in questions:
            turn = await player(question, memory)
            found = [await finder(suggestion.question) for suggestion in turn.suggestions]
            offered.append(OfferedTurn(turn, tuple(found), memory.seen()))
            memory = Memory((*memory.turns, turn.remembered()))
    return offered


def summarize_followups(offered: Sequence[OfferedTurn]) -> dict[str, Any]:
    """The report: shares in [0, 1]; `repeated` counts suggestions."""
    itself = [
        float(found == suggestion.faq_id)
        for one in offered
        for found, suggestion in zip(one.found, one.turn.suggestions, strict=True)
    ]
    return {
        "turns": len(offered),
        "with_followup": mean([float(bool(one.turn.suggestions)) for one in offered]),
        "self_retrieving": mean(itself),
        "repeated": sum(one.repeated for one in offered),
        "suggestions": len(itself),
        "per_case": [
            {
                "id": f"{number}",
                "query": one.turn.question,
                "verdict": one.turn.verdict,
                "suggestions": [suggestion.text for suggestion in one.turn.suggestions],
                "self_retrieving": [
                    found == suggestion.faq_id
                    for found, suggestion in zip(one.found, one.turn.suggestions, strict=True)
                ],
                "repeated": one.repeated,
            }
            for number, one in enumerate(offered, 1)
        ],
    }
