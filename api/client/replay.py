"""Replays written conversations against a running stack and keeps what it said.

Knows scenarios and events; does not know how a replay is written down, nor where the stack runs.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from api.client.chat_clients import ChatClient
from api.errors import CommandError
from api.events import (
    Delta,
    ProviderSwitched,
    QuestionRewritten,
    Source,
    Sources,
    Suggestion,
    Suggestions,
    TurnCompleted,
    TurnFailed,
    TurnStarted,
)
from api.turns.start import Question


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Step(_Part):
    """One turn: a question typed, or the number of the follow-up taken."""

    ask: str = ""
    take: int = Field(0, ge=0, le=3)

    @model_validator(mode="after")
    def _one_of_both(self) -> Step:
        if bool(self.ask) == bool(self.take):
            raise ValueError("give either `ask` or `take`")
        return self


class Scenario(_Part):
    """One conversation, and what it shows."""

    title: str
    about: str
    turns: tuple[Step, ...] = Field(min_length=1)


_SCENARIOS: TypeAdapter[tuple[Scenario, ...]] = TypeAdapter(tuple[Scenario, ...])


@dataclass
class ReplayedTurn:
    """What the stack said in one turn.

    Attributes:
        question: what was asked.
        taken: number of the follow-up it was, 0 where it was typed.
        model: what the provider runs.
        standalone: the question as it was searched, empty where that is the question itself.
        sources: the FAQs given to the provider.
        suggestions: the follow-ups offered.
        first_text_ms: from the request to the first text of the answer that counts, in milliseconds.
        total_ms: from the request to the last event, in milliseconds.
        completed: the closing event.
    """

    question: str
    taken: int
    model: str = ""
    standalone: str = ""
    sources: tuple[Source, ...] = ()
    suggestions: tuple[Suggestion, ...] = ()
    first_text_ms: float = 0.0
    total_ms: float = 0.0
    completed: TurnCompleted | None = None

    @property
    def end(self) -> TurnCompleted:
        """The closing event of a finished turn."""
        if self.completed is None:
            raise RuntimeError("the turn has not ended")
        return self.completed

    @property
    def faq_ids(self) -> set[str]:
        """Every FAQ that the turn shows something of."""
        return {source.faq_id for source in self.sources} | {offer.faq_id for offer in self.suggestions}


def read_scenarios(path: Path) -> tuple[Scenario, ...]:
    """Reads scenarios from a YAML file.

    Raises:
        CommandError: it is no list of scenarios; the message names each fault.
        OSError: it cannot be read.
    """
    try:
        return _SCENARIOS.validate_python(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as exc:
        faults = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in exc.errors())
        raise CommandError(f"{path}: {faults}") from exc
    except (yaml.YAMLError, UnicodeDecodeError) as exc:
        raise CommandError(f"{path} is not YAML: {exc}") from exc


async def replay(
    scenario: Scenario, client: ChatClient, *, provider: str | None = None
) -> list[ReplayedTurn]:
    """Plays one scenario as one session.

    Raises:
        ApiError: a turn could not be begun.
        CommandError: a turn failed, or a follow-up is taken that was not offered.
    """
    turns: list[ReplayedTurn] = []
    session_id: str | None = None
    for number, step in enumerate(scenario.turns, start=1):
        text = step.ask or _taken(step.take, turns, f"{scenario.title}, turn {number}")
        turn = ReplayedTurn(text, step.take)
        session_id = await _play(client, Question(text, session_id, provider), turn)
        turns.append(turn)
    return turns


def _taken(number: int, turns: Sequence[ReplayedTurn], place: str) -> str:
    offers = turns[-1].suggestions if turns else ()
    if number > len(offers):
        raise CommandError(f"{place}: follow-up {number} is taken, but {len(offers)} were offered")
    return offers[number - 1].question


async def _play(client: ChatClient, question: Question, turn: ReplayedTurn) -> str:
    """Fills `turn` with what happens; returns the session's id."""
    began, session_id = time.perf_counter(), ""
    async for event in client.ask(question):
        elapsed_ms = (time.perf_counter() - began) * 1000
        match event:
            case TurnStarted():
                session_id, turn.model = event.session_id, event.model
            case QuestionRewritten(standalone=standalone):
                turn.standalone = standalone
            case Sources(sources=sources):
                turn.sources = sources
            case Delta():
                turn.first_text_ms = turn.first_text_ms or elapsed_ms
            case ProviderSwitched():
                turn.first_text_ms = 0.0
            case Suggestions(suggestions=suggestions):
                turn.suggestions = suggestions
            case TurnCompleted():
                turn.completed, turn.total_ms = event, elapsed_ms
            case TurnFailed(code=code):
                raise CommandError(f"{question.text}: the turn failed ({code})")
    if turn.completed is None:
        raise CommandError(f"{question.text}: the stream ended without an answer")
    return session_id
