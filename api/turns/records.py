"""The record of each turn: its request, who asked, and the session it belongs to.

Who follows a turn whose lease has run out closes it, with the saved end if there is one,
else as `interrupted`. Knows nothing of how an answer is made.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any

from api.errors import Conflict, NotFound
from api.events import TURN_EVENT, TurnCompleted, TurnEvent, TurnFailed, is_final
from api.providers.base import GenerationOptions
from api.state.connection import State
from api.turns.runners.base import TurnRequest
from api.turns.saved import SavedTurn, now
from api.turns.sessions import Sessions
from api.work.event_log import EventLog
from api.work.kinds import LeaseLost, WorkKind
from api.work.records import WorkRecords

INTERRUPTED = TurnFailed(
    code="interrupted",
    message="답변을 만들던 서버가 중단되어 답변이 끊겼습니다. 다시 질문해 주세요.",
    retryable=True,
)


@dataclass(frozen=True, slots=True)
class StartedTurn:
    """A turn that may be followed; `created` is False for a repeated Idempotency-Key."""

    turn_id: str
    session_id: str
    created: bool


def _status_after(event: TurnEvent) -> str:
    match event:
        case TurnCompleted(stopped=True):
            return "stopped"
        case TurnCompleted():
            return "completed"
        case TurnFailed():
            return "failed"
        case _:
            return ""


TURNS: WorkKind[TurnEvent] = WorkKind(
    key="turn",
    label="대화 턴",
    encode=lambda event: event.model_dump_json(by_alias=True),
    decode=TURN_EVENT.validate_json,
    status_after=_status_after,
)


class TurnRecords(WorkRecords[TurnEvent]):
    """Turn records in the state store, with the sessions beside them."""

    def __init__(
        self,
        state: State,
        log: EventLog[TurnEvent],
        sessions: Sessions,
        *,
        ttl_s: int = 3600,
        lease_s: float = 6.0,
        patience_s: float = 5.0,
        on_begin: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        """As `WorkRecords`; turns are saved in `sessions`, `on_begin` is called with each new turn's id."""
        super().__init__(state, log, ttl_s=ttl_s, lease_s=lease_s, patience_s=patience_s)
        self.sessions = sessions
        self._on_begin = on_begin

    async def begin(
        self, request: TurnRequest, *, owner: str, idempotency_key: str = "", fingerprint: str = ""
    ) -> StartedTurn:
        """Records a new turn, or finds the one this `idempotency_key` began before.

        Raises `Conflict` when the key came with another `fingerprint` (of the body).
        """
        if idempotency_key:
            earlier = await self._repeated(request, owner, idempotency_key, fingerprint)
            if earlier is not None:
                return earlier
        fields = {"request": encode_request(request), "owner": owner, "session": request.session_id}
        steps = [self.record_begun(request.turn_id, fields)]
        if request.session_id:
            turn = SavedTurn(
                turn_id=request.turn_id,
                question=request.question,
                provider=request.provider,
                started_at=now(),
            )
            steps.append(self.sessions.save_turn(request.session_id, turn))
        if self._on_begin is not None:
            steps.append(self._on_begin(request.turn_id))
        await asyncio.gather(*steps)
        return StartedTurn(request.turn_id, request.session_id, True)

    async def request(self, turn_id: str) -> TurnRequest:
        """The turn's request. Raises `NotFound`."""
        return decode_request((await self.record(turn_id))["request"])

    async def status(self, turn_id: str, *, owner: str | None = None) -> str:
        """queued, running, completed, stopped or failed. Raises `NotFound` (also: foreign)."""
        record = await self.record(turn_id)
        if owner is not None and record["owner"] != owner:
            raise TURNS.unknown(turn_id)
        return str(record["status"])

    async def ended(self, turn_id: str, *, owner: str) -> tuple[str, TurnEvent]:
        """Session and final event of an ended turn. Raises `NotFound` (also: foreign), `Conflict` (runs)."""
        record = await self.record(turn_id)
        if record["owner"] != owner:
            raise TURNS.unknown(turn_id)
        events = await self.log.read(turn_id, max(0, int(record["last"]) - 1))
        if not events or not is_final(events[-1][1]):
            raise Conflict("답변이 끝난 뒤에 평가할 수 있습니다.")
        return record["session"], events[-1][1]

    async def discard(self, turn_id: str) -> None:
        """Forgets a turn that could not be started, in its session too."""
        try:
            session_id = (await self.record(turn_id))["session"]
        except NotFound:
            return
        await self.forget(turn_id)
        if session_id:
            await self.sessions.drop_turn(session_id, turn_id)

    async def settle(self, turn_id: str) -> bool:
        """Closes the turn if its runner is dead; True when it did.

        A turn that was saved before its runner died gets its saved end.
        """
        claim = await self.claim_dead(turn_id)
        if claim is None:
            return False
        request = await self.request(turn_id)
        final: TurnEvent = INTERRUPTED
        if request.session_id:
            saved = await self.sessions.saved_turn(request.session_id, turn_id)
            if saved is not None and saved.final is not None:
                final = saved.final
            elif saved is not None:
                await self.sessions.save_turn(request.session_id, saved.failed(INTERRUPTED))
        try:
            return await self.log.append(turn_id, claim.last + 1, final, token=claim.token)
        except LeaseLost:
            return False

    async def history(self, session_id: str, *, owner: str, limit: int | None = None) -> list[SavedTurn]:
        """The session's turns, with those of dead runners closed. Raises like `Sessions.get`."""
        await self.sessions.get(session_id, owner=owner)
        turns = await self.sessions.turns(session_id, limit=limit)
        settled = [turn for turn in turns if not turn.ended and await self._settled(session_id, turn)]
        return await self.sessions.turns(session_id, limit=limit) if settled else turns

    async def delete_session(self, session_id: str, *, owner: str) -> None:
        """Removes the session, stops what runs in it and removes its turns' logs."""
        await self.sessions.get(session_id, owner=owner)
        turns = await self.sessions.turns(session_id)
        await self.sessions.delete(session_id, owner=owner)
        for turn in turns:
            if turn.ended:
                await self.forget(turn.turn_id)
            else:
                await self.stop(turn.turn_id)

    async def _settled(self, session_id: str, turn: SavedTurn) -> bool:
        try:
            await self.record(turn.turn_id)
        except NotFound:
            return await self.sessions.save_turn(session_id, turn.failed(INTERRUPTED))
        return await self.settle(turn.turn_id)

    async def _repeated(
        self, request: TurnRequest, owner: str, idempotency_key: str, fingerprint: str
    ) -> StartedTurn | None:
        digest = hashlib.sha256(f"{owner}\0{idempotency_key}".encode()).hexdigest()
        key = self._state.key("idempotency", digest)
        mine = json.dumps([request.turn_id, request.session_id, fingerprint])
        redis = self._state.redis
        if await self._state.call(redis.set(key, mine, nx=True, ex=self._ttl_s)):
            return None
        earlier: Any = await self._state.call(redis.get(key))
        turn_id, session_id, seen = json.loads(earlier or mine)
        if seen != fingerprint:
            raise Conflict("같은 Idempotency-Key로 다른 내용의 요청이 왔습니다. 새 키를 사용해 주세요.")
        # The first request may be between claiming the key and recording its turn.
        for _ in range(10 if turn_id != request.turn_id else 0):
            if await self._state.call(redis.exists(self.log.keys(turn_id)[0])):
                return StartedTurn(turn_id, session_id, False)
            await asyncio.sleep(0.05)
        await self._state.call(redis.set(key, mine, ex=self._ttl_s))
        return None


def encode_request(request: TurnRequest) -> str:
    """A request as JSON, as it is stored and sent through a queue."""
    return json.dumps(asdict(request), ensure_ascii=False)


def decode_request(text: str) -> TurnRequest:
    """The request that `encode_request` wrote."""
    fields: dict[str, Any] = json.loads(text)
    options = dict(fields.pop("options"))
    options["stop"] = tuple(options["stop"])
    history = fields.pop("history")
    pairs = None if history is None else tuple((q, a) for q, a in history)
    return TurnRequest(**fields, options=GenerationOptions(**options), history=pairs)
