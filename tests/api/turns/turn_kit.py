"""A real, small conversation and one process's worth of turn machinery, for tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from api.conversation.memory import Memory
from api.events import Delta, Source, Sources, Suggestion, Suggestions, TurnCompleted, TurnEvent, TurnStarted
from api.state.connection import State
from api.turns.answering import Answering, Observer
from api.turns.records import TURNS, TurnRecords
from api.turns.run import RunLimits
from api.turns.runners.base import TurnRequest
from api.turns.runners.inline import InlineRunner
from api.turns.saved import new_turn_id
from api.turns.sessions import Sessions
from api.turns.signals import Signals
from api.work.event_log import EventLog

PIECES = ("만 14세 ", "미만은 ", "판매회원으로 ", "가입할 수 ", "없습니다[1].")
ANSWER = "".join(PIECES)
OWNER = "key-1"


@dataclass
class ScriptedConversation:
    """Answers every question alike, `pause_s` seconds before each piece."""

    pause_s: float = 0.0
    pieces: tuple[str, ...] = PIECES
    memories: list[Memory] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    begun: int = 0

    async def answer(self, request: TurnRequest, memory: Memory) -> AsyncIterator[TurnEvent]:
        self.begun += 1
        self.memories.append(memory)
        try:
            yield TurnStarted(
                turn_id=request.turn_id,
                session_id=request.session_id,
                provider=request.provider,
                model="각본",
            )
            source = Source(n=1, faq_id="faq-7", question="미성년자도 가입할 수 있나요?", score=0.9)
            yield Sources(sources=(source,))
            for piece in self.pieces:
                await asyncio.sleep(self.pause_s)
                yield Delta(text=piece)
            offer = Suggestion(
                faq_id="faq-8", question="필요한 서류는?", text="필요한 서류도 안내해드릴까요?"
            )
            yield Suggestions(suggestions=(offer,))
            yield TurnCompleted(answer="".join(self.pieces), verdict="answered", citations=(1,))
        finally:
            self.closed.append(request.turn_id)


@dataclass
class Process:
    """What one API process holds: its own log, records, signals and runner."""

    state: State
    log: EventLog
    sessions: Sessions
    turns: TurnRecords
    signals: Signals
    runner: InlineRunner

    async def ask(self, session_id: str, question: str = "미성년자도 가입 가능한가요?") -> str:
        """Begins a turn and returns its id."""
        request = TurnRequest(new_turn_id(), session_id, question, "extractive")
        await self.turns.begin(request, owner=OWNER)
        await self.runner.start(request)
        return request.turn_id

    async def events(self, turn_id: str, after: int = 0) -> list[tuple[int, TurnEvent]]:
        """Follows the turn to its end."""
        return [item async for item in self.turns.follow(turn_id, after)]


@asynccontextmanager
async def process(
    state: State,
    conversation: ScriptedConversation | None = None,
    *,
    limits: RunLimits | None = None,
    lease_s: float = 0.6,
    patience_s: float = 0.3,
    max_turns: int = 300,
    observers: tuple[Observer, ...] = (),
) -> AsyncIterator[Process]:
    """Opens the machinery of one process on `state`."""
    log, sessions = EventLog(state, TURNS, look_s=0.2), Sessions(state)
    turns = TurnRecords(state, log, sessions, lease_s=lease_s, patience_s=patience_s)
    signals = Signals(state, turns.stop_channel)
    answering = Answering(conversation or ScriptedConversation(), observers=observers)
    runner = InlineRunner(answering, turns, signals, limits=limits or RunLimits(), max_turns=max_turns)
    try:
        yield Process(state, log, sessions, turns, signals, runner)
    finally:
        await runner.drain(0.0)
        await signals.aclose()
