"""Carries out one turn: memory in, events into the log, the record saved before its end shows.

Safe to run again for the same turn (a queue delivers at least once): a finished turn is left
alone, a saved one gets its missing end, a half-written one starts over after telling the
reader that the text so far is void. Knows neither HTTP, nor a queue, nor how answers are made.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Any

import structlog

from api.conversation.memory import Memory, RememberedTurn
from api.errors import ApiError, ProviderTimeout, SearchUnavailable, StateUnavailable
from api.events import Delta, ProviderSwitched, TurnCompleted, TurnEvent, TurnFailed, TurnStarted
from api.turns.answering import Answering, Observe
from api.turns.records import INTERRUPTED, TurnRecords
from api.turns.runners.base import TurnRequest
from api.turns.saved import SavedTurn
from api.turns.sessions import memory_of
from api.turns.signals import Reason, Signals
from api.turns.transcript import Transcript
from api.work.kinds import LeaseLost
from api.work.records import Claim
from api.work.writer import EventWriter, retry_while_away
from retrieval.errors import RetrievalError

log = structlog.get_logger(__name__)
INTERNAL = TurnFailed(
    code="internal_error",
    message="답변을 만드는 중에 문제가 생겼습니다. 잠시 후 다시 시도해 주세요.",
    retryable=True,
)
SEARCH_AWAY = SearchUnavailable("지금은 FAQ를 검색할 수 없습니다. 잠시 후 다시 질문해 주세요.").event()
TurnWriter = EventWriter[TurnEvent]
_ABANDONED: frozenset[Reason] = frozenset({"stopped", "abandoned"})


@dataclass(frozen=True, slots=True)
class RunLimits:
    """Bounds of a run, in seconds.

    Attributes:
        turn_s: a whole turn.
        step_s: silence between two events.
        unfollowed_s: how long a turn runs on with nobody following it (0: for ever).
        away_s: how long the state store may be away before the turn is given up.
        memory_turns: earlier turns that the conversation is given.
    """

    turn_s: float = 180.0
    step_s: float = 60.0
    unfollowed_s: float = 60.0
    away_s: float = 20.0
    memory_turns: int = 8


async def run_turn(
    request: TurnRequest,
    *,
    answering: Answering,
    turns: TurnRecords,
    signals: Signals,
    limits: RunLimits = RunLimits(),
) -> None:
    """Runs the turn to its end; returns when its final event is in the log.

    Cancelling gives the turn back, unfinished, for another run to start over.

    Raises:
        NotFound: the turn's record is gone (its session was deleted, or it expired).
        LeaseLost: another run has taken it over.
        StateUnavailable: the state store stayed away longer than `limits.away_s`.
    """
    claim = await retry_while_away(lambda: turns.claim(request.turn_id), away_s=limits.away_s)
    if claim is None:
        return
    turns.log.open_feed(request.turn_id, base=claim.last)
    run = _Run(request, claim, turns, signals, limits)
    try:
        await run.carry_out(answering)
    except asyncio.CancelledError:
        with contextlib.suppress(StateUnavailable):
            await turns.release(request.turn_id, claim.token)
        raise
    finally:
        turns.log.close_feed(request.turn_id)


class _Run:
    """One attempt at one turn."""

    def __init__(
        self, request: TurnRequest, claim: Claim, turns: TurnRecords, signals: Signals, limits: RunLimits
    ) -> None:
        self._request, self._claim = request, claim
        self._turns, self._signals, self._limits = turns, signals, limits
        self._transcript = Transcript(request)
        self._memory = _memory_of_history(request, limits.memory_turns)
        self._observe: Observe
        self._last_event = asyncio.get_running_loop().time()

    async def carry_out(self, answering: Answering) -> None:
        turn_id, token = self._request.turn_id, self._claim.token
        writer = EventWriter(
            self._turns.log, turn_id, token, last=self._claim.last, away_s=self._limits.away_s
        )
        async with writer:
            saved = await self._saved()
            if saved is not None and saved.final is not None:
                await writer.put(saved.final)
                await writer.flush()
                return
            if saved is not None:
                self._transcript.started_at = saved.started_at
            signal = self._signals.open(turn_id)
            if self._claim.stop:
                signal.set_result("stopped")
            watch = asyncio.create_task(self._watch(), name=f"watch-{turn_id}")
            try:
                async with answering.observed(self._request, self._memory) as self._observe:
                    final = await self._answer(answering, writer, signal)
                    await self._close(writer, final)
            finally:
                watch.cancel()
                self._signals.close(turn_id)
                await asyncio.gather(watch, return_exceptions=True)

    async def _answer(
        self, answering: Answering, writer: TurnWriter, signal: asyncio.Future[Reason]
    ) -> TurnCompleted | TurnFailed:
        """Streams the answer until it ends, fails, or is told to end."""
        producer = asyncio.create_task(self._produce(answering, writer), name=f"turn-{self._request.turn_id}")
        try:
            both: set[asyncio.Future[Any]] = {producer, signal}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            producer.cancel()
            await asyncio.gather(producer, return_exceptions=True)
        if signal.done() and (producer.cancelled() or producer.exception() is not None):
            return self._cut_short(signal.result())
        try:
            return producer.result()
        except ApiError as exc:
            if writer.broken or isinstance(exc, LeaseLost):
                raise
            log.warning("turn.failed", turn_id=self._request.turn_id, code=exc.code, error=str(exc))
            return exc.event()
        except RetrievalError as exc:
            log.warning("turn.failed", turn_id=self._request.turn_id, code=SEARCH_AWAY.code, error=str(exc))
            return SEARCH_AWAY
        except (Exception, asyncio.CancelledError):
            # The edge of a turn: whatever the conversation raised becomes its closing event.
            log.exception("turn.crashed", turn_id=self._request.turn_id)
            return INTERNAL

    async def _produce(self, answering: Answering, writer: TurnWriter) -> TurnCompleted | TurnFailed:
        await self._void_earlier_text(writer)
        skip_start = self._claim.last > 0
        events = await answering.events(self._request, self._memory)
        async with contextlib.aclosing(events) as stream:
            async for event in stream:
                self._last_event = asyncio.get_running_loop().time()
                if isinstance(event, TurnCompleted | TurnFailed):
                    return event
                self._transcript.add(event)
                self._observe(event)
                if not (skip_start and isinstance(event, TurnStarted)):
                    await writer.put(event)
        log.error("turn.without_end", turn_id=self._request.turn_id)
        return INTERNAL

    async def _void_earlier_text(self, writer: TurnWriter) -> None:
        """Tells the reader of a half-written turn that its text starts again."""
        if self._claim.last == 0:
            return
        earlier = await self._turns.log.read(self._request.turn_id)
        if any(isinstance(event, Delta) for _, event in earlier):
            name = self._request.provider
            switched = {"from": name, "to": name, "reason": "worker_lost"}
            await writer.put(ProviderSwitched.model_validate(switched))

    def _cut_short(self, reason: Reason) -> TurnCompleted | TurnFailed:
        if reason in _ABANDONED:
            return self._transcript.stopped()
        if reason == "interrupted":
            return INTERRUPTED
        if reason == "lease_lost":
            raise LeaseLost(f"턴 '{self._request.turn_id}'은(는) 다른 실행이 맡았습니다.")
        seconds = self._limits.turn_s if reason == "turn_timeout" else self._limits.step_s
        message = f"답변이 {seconds:g}초 안에 오지 않았습니다. 다시 시도해 주세요."
        return ProviderTimeout(self._request.provider, message).event()

    async def _close(self, writer: TurnWriter, final: TurnCompleted | TurnFailed) -> None:
        """Saves the turn, then shows its end: what is saved is what the stream showed."""
        await writer.flush()
        if isinstance(final, TurnCompleted):
            final = final.model_copy(update={"answer": self._transcript.text})
        record = self._transcript.closed(final)
        session_id = self._request.session_id
        if session_id:
            await retry_while_away(
                lambda: self._turns.sessions.save_turn(session_id, record), away_s=self._limits.away_s
            )
        self._observe(final)
        await writer.put(final)
        await writer.flush()

    async def _watch(self) -> None:
        """Keeps the lease, and ends a turn that is stopped, too slow, or followed by nobody."""
        turn_id, loop = self._request.turn_id, asyncio.get_running_loop()
        started = followed = loop.time()
        while True:
            await asyncio.sleep(self._turns.lease_s / 3)
            moment = loop.time()
            try:
                renewal = await self._turns.renew(turn_id, self._claim.token)
            except LeaseLost:
                self._signals.send(turn_id, "lease_lost")
                return
            except StateUnavailable:
                continue
            if self._turns.log.followers(turn_id):
                followed = moment
            unfollowed = min(moment - followed, renewal.unfollowed_s)
            if renewal.stop:
                self._signals.send(turn_id, "stopped")
            elif moment - started > self._limits.turn_s:
                self._signals.send(turn_id, "turn_timeout")
            elif moment - self._last_event > self._limits.step_s:
                self._signals.send(turn_id, "step_timeout")
            elif 0 < self._limits.unfollowed_s < unfollowed:
                self._signals.send(turn_id, "abandoned")

    async def _saved(self) -> SavedTurn | None:
        """What the session has of this turn; keeps the earlier ones as memory on the way."""
        session_id, turn_id = self._request.session_id, self._request.turn_id
        if not session_id:
            return None
        sessions, limit = self._turns.sessions, self._limits.memory_turns
        turns = await retry_while_away(
            # Failed and running turns are not remembered, hence the margin.
            lambda: sessions.turns(session_id, limit=limit * 2 + 8),
            away_s=self._limits.away_s,
        )
        self._memory = memory_of((turn for turn in turns if turn.turn_id != turn_id), limit)
        for turn in turns:
            if turn.turn_id == turn_id:
                return turn
        return await retry_while_away(
            lambda: sessions.saved_turn(session_id, turn_id), away_s=self._limits.away_s
        )


def _memory_of_history(request: TurnRequest, most: int) -> Memory:
    """What a caller who keeps the conversation told of it."""
    turns = tuple(RememberedTurn(q, q, a, "answered") for q, a in request.history or ())
    return Memory(turns[-most:])
