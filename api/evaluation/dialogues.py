"""Evaluation of follow-ups: does a question that leans on the conversation find its FAQ.

Every turn is ranked with the real history before it: the user's texts with the system's own answers, never
the gold ones. Knows the format and the measures; how a turn is resolved and played is the caller's.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api.conversation.context import Resolution
from api.conversation.memory import Memory, RememberedTurn
from api.evaluation.rows import CasesError, json_rows, text_of, texts_of
from retrieval.corpus.faq import faq_id
from retrieval.training.metrics import first_rank, mean, mrr, ndcg_at, percentile, recall_at

Resolver = Callable[[str, Memory], Awaitable[Resolution]]
Player = Callable[[str, Memory], Awaitable[RememberedTurn]]


@dataclass(frozen=True, slots=True)
class DialogueTurn:
    """One question of a dialogue; `gold` are ids of FAQs that answer it."""

    user: str
    gold: tuple[str, ...]
    needs_context: bool
    standalone: str


@dataclass(frozen=True, slots=True)
class Dialogue:
    """Turns in order."""

    id: str
    turns: tuple[DialogueTurn, ...]


@dataclass(frozen=True, slots=True)
class RankedTurn:
    """A turn with what was found for it, best first; `ms` is the time to resolve it."""

    id: str
    turn: DialogueTurn
    resolution: Resolution
    ms: float

    @property
    def found(self) -> tuple[str, ...]:
        """Ids of the FAQs found."""
        return tuple(hit.faq.id for hit in self.resolution.result.hits)


def read_dialogues(path: Path) -> tuple[Dialogue, ...]:
    """Reads a case file. Raises `CasesError`."""
    dialogues = []
    for place, row in json_rows(path):
        turns = row.get("turns")
        if not isinstance(turns, list) or not turns:
            raise CasesError(f"{place}: 'turns' must be a list that is not empty")
        dialogues.append(Dialogue(str(row.get("id", place)), tuple(_turn(turn, place) for turn in turns)))
    return tuple(dialogues)


async def rank_dialogues(
    dialogues: Iterable[Dialogue], resolver: Resolver, player: Player
) -> list[RankedTurn]:
    """Resolves every turn after the real history, then plays it so that the next has it before it."""
    ranked = []
    for dialogue in dialogues:
        memory = Memory()
        for number, turn in enumerate(dialogue.turns, 1):
            started = time.perf_counter()
            resolution = await resolver(turn.user, memory)
            elapsed = (time.perf_counter() - started) * 1e3
            ranked.append(RankedTurn(f"{dialogue.id}.{number}", turn, resolution, elapsed))
            memory = Memory((*memory.turns, await player(turn.user, memory)))
    return ranked


def summarize_dialogues(ranked: Sequence[RankedTurn]) -> dict[str, Any]:
    """The report: both kinds of turns apart, then every turn."""
    return {
        "needs_context": _measures([one for one in ranked if one.turn.needs_context]),
        "standalone": _measures([one for one in ranked if not one.turn.needs_context]),
        "per_case": [
            {
                "id": one.id,
                "query": one.turn.user,
                "needs_context": one.turn.needs_context,
                "followup": one.resolution.followup,
                "standalone": one.resolution.standalone,
                "rank": first_rank(one.found, one.turn.gold),
                "found": [hit.faq.question for hit in one.resolution.result.hits[:3]],
            }
            for one in ranked
        ],
    }


def _measures(ranked: Sequence[RankedTurn]) -> dict[str, Any]:
    ranks = [first_rank(one.found, one.turn.gold) for one in ranked]
    times = [one.ms for one in ranked]
    return {
        "cases": len(ranked),
        **{f"recall@{k}": recall_at(ranks, k) for k in (1, 3, 5, 10)},
        "mrr": mrr(ranks),
        "ndcg@10": mean([ndcg_at(one.found, one.turn.gold) for one in ranked]),
        "by_style": {},
        "latency_ms": {"p50": percentile(times, 0.5), "p95": percentile(times, 0.95)},
    }


def _turn(row: object, place: str) -> DialogueTurn:
    if not isinstance(row, dict):
        raise CasesError(f"{place}: a turn must be an object, found {type(row).__name__}")
    needs = row.get("needs_context")
    if not isinstance(needs, bool):
        raise CasesError(f"{place}: 'needs_context' must be true or false, found {needs!r}")
    gold = tuple(faq_id(question) for question in texts_of(row, "gold_questions", place))
    return DialogueTurn(text_of(row, "user", place), gold, needs, str(row.get("standalone", "")))
