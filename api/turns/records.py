"""The record of each turn: its request, who asked, who runs it, whether it shall stop.

A run claims a turn with a token and keeps a lease; only the holder of the lease can write
events, so a message delivered twice never doubles an answer. Who follows a turn whose
lease has run out closes it, with the saved end if there is one, else as `interrupted`.

Knows nothing of how an answer is made.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import asdict, dataclass
from typing import Any

from redis.exceptions import RedisError

from api.errors import Conflict, NotFound, StateUnavailable
from api.events import TurnEvent, TurnFailed, is_final
from api.providers.base import GenerationOptions
from api.state.connection import State
from api.state.script_batches import Argument
from api.turns.event_log import DEAD, EventLog, LeaseLost
from api.turns.runners.base import TurnRequest
from api.turns.saved import SavedTurn, now
from api.turns.scripts import BEGIN, CLAIM, RELEASE, RENEW, STOP
from api.turns.sessions import Sessions

INTERRUPTED = TurnFailed(
    code="interrupted",
    message="답변을 만들던 서버가 중단되어 답변이 끊겼습니다. 다시 질문해 주세요.",
    retryable=True,
)


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to run a turn.

    Attributes:
        token: fences every write of this run.
        last: number of the newest event (above 0: an earlier run wrote a part).
        stop: the turn was asked to stop before it began.
    """

    token: str
    last: int
    stop: bool


@dataclass(frozen=True, slots=True)
class Renewal:
    """What a run learns when it renews its lease: `unfollowed_s` since the last remote follower."""

    stop: bool
    unfollowed_s: float


@dataclass(frozen=True, slots=True)
class StartedTurn:
    """A turn that may be followed; `created` is False for a repeated Idempotency-Key."""

    turn_id: str
    session_id: str
    created: bool


class TurnRecords:
    """Turn records in the state store, with the log and the sessions beside them."""

    def __init__(
        self,
        state: State,
        log: EventLog,
        sessions: Sessions,
        *,
        ttl_s: int = 3600,
        lease_s: float = 6.0,
        patience_s: float = 5.0,
        on_begin: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        """Times in seconds.

        Args:
            state: the store.
            log: events of turns.
            sessions: where turns are saved.
            ttl_s: life of a record, renewed when the turn ends.
            lease_s: how long a silent runner keeps its turn.
            patience_s: how long a turn may be without a runner before it counts as lost:
                short where turns run in this process, long where a queue redelivers them.
            on_begin: told the id of each turn that begins.
        """
        self._on_begin = on_begin
        self.log, self.sessions, self.lease_s = log, sessions, lease_s
        self._state, self._ttl_s, self._patience_s = state, ttl_s, patience_s
        register = state.script
        self._begin, self._claim, self._renew = register(BEGIN), register(CLAIM), register(RENEW)
        self._release, self._stop = register(RELEASE), register(STOP)

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
        args: list[Argument] = [
            encode_request(request),
            owner,
            request.session_id,
            int(self._patience_s * 1000),
            self._ttl_s,
        ]
        steps: list[Awaitable[Any]] = [self._begin(keys=[self._key(request.turn_id)], args=args)]
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
        return decode_request((await self._record(turn_id))["request"])

    async def status(self, turn_id: str, *, owner: str | None = None) -> str:
        """queued, running, completed, stopped or failed. Raises `NotFound` (also: foreign)."""
        record = await self._record(turn_id)
        if owner is not None and record["owner"] != owner:
            raise _unknown(turn_id)
        return str(record["status"])

    async def ended(self, turn_id: str, *, owner: str) -> tuple[str, TurnEvent]:
        """Session and final event of an ended turn. Raises `NotFound` (also: foreign), `Conflict` (runs)."""
        record = await self._record(turn_id)
        if record["owner"] != owner:
            raise _unknown(turn_id)
        events = await self.log.read(turn_id, max(0, int(record["last"]) - 1))
        if not events or not is_final(events[-1][1]):
            raise Conflict("답변이 끝난 뒤에 평가할 수 있습니다.")
        return record["session"], events[-1][1]

    async def discard(self, turn_id: str) -> None:
        """Forgets a turn that could not be started, in its session too."""
        try:
            session_id = (await self._record(turn_id))["session"]
        except NotFound:
            return
        keys = [self._key(turn_id), self._state.key("turn", turn_id, "log")]
        await self._state.call(self._state.redis.delete(*keys))
        if session_id:
            await self.sessions.drop_turn(session_id, turn_id)

    async def claim(self, turn_id: str, *, wait: bool = True) -> Claim | None:
        """Takes the turn; None when it has ended. Waits while another run holds the lease.

        Raises `NotFound`, and `LeaseLost` when held and `wait` is False.
        """
        token = secrets.token_hex(8)
        while True:
            args: list[Argument] = [token, int(self.lease_s * 1000)]
            code, last, extra = await self._claim(keys=[self._key(turn_id)], args=args)
            if code == -1:
                raise _unknown(turn_id)
            if code == 0:
                return None
            if code == 1:
                return Claim(token, last, bool(extra))
            if not wait:
                raise LeaseLost(f"턴 '{turn_id}'은(는) 다른 실행이 맡고 있습니다.")
            await asyncio.sleep(min(extra / 1000 + 0.02, 1.0))

    async def renew(self, turn_id: str, token: str) -> Renewal:
        """Keeps the lease. Raises `LeaseLost`."""
        args: list[Argument] = [token, int(self.lease_s * 1000)]
        code, unfollowed_ms = await self._renew(keys=[self._key(turn_id)], args=args)
        if code < 0:
            raise LeaseLost(f"턴 '{turn_id}'은(는) 다른 실행이 맡았거나 이미 끝났습니다.")
        return Renewal(bool(code), unfollowed_ms / 1000)

    async def release(self, turn_id: str, token: str) -> None:
        """Gives the lease back at once, so that another run need not wait for its end."""
        await self._release(keys=[self._key(turn_id)], args=[token])

    async def stop(self, turn_id: str) -> None:
        """Asks the turn to stop, wherever it runs; unknown and ended turns are ignored."""
        args: list[Argument] = [turn_id, self.stop_channel]
        await self._stop(keys=[self._key(turn_id)], args=args)

    @property
    def stop_channel(self) -> str:
        """Where the ids of turns to be stopped are published."""
        return f"{self._state.prefix}stop"

    async def settle(self, turn_id: str) -> bool:
        """Closes the turn if its runner is dead; True when it did.

        A turn that was saved before its runner died gets its saved end.
        """
        token = secrets.token_hex(8)
        args: list[Argument] = [token, int(self.lease_s * 1000), "dead"]
        code, last, _ = await self._claim(keys=[self._key(turn_id)], args=args)
        if code != 1:
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
            return await self.log.append(turn_id, last + 1, final, token=token)
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
                keys = [self._key(turn.turn_id), self._state.key("turn", turn.turn_id, "log")]
                await self._state.call(self._state.redis.delete(*keys))
            else:
                await self.stop(turn.turn_id)

    async def follow(
        self, turn_id: str, after: int = 0, *, away_s: float = 15.0
    ) -> AsyncGenerator[tuple[int, TurnEvent]]:
        """Numbered events above `after`, replayed and live, to the final event; never hangs.

        The store may be away for up to `away_s` seconds in between. Raises `NotFound`,
        `StateUnavailable`.
        """
        away_since, judge_from = 0.0, 0.0
        while True:
            try:
                async with aclosing(self.log.follow(turn_id, after)) as items:
                    async for item in items:
                        away_since = 0.0
                        if isinstance(item, str):
                            if item == DEAD and time.monotonic() >= judge_from:
                                await self.settle(turn_id)
                            continue
                        after = item[0]
                        yield item
                        if is_final(item[1]):
                            return
                return
            except (StateUnavailable, RedisError):
                moment = time.monotonic()
                away_since = away_since or moment
                if moment - away_since > away_s:
                    raise
                # The runner could not renew its lease either: give it the time to do so.
                judge_from = moment + self.lease_s
                await asyncio.sleep(0.25)

    async def _settled(self, session_id: str, turn: SavedTurn) -> bool:
        try:
            await self._record(turn.turn_id)
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
            if await self._state.call(redis.exists(self._key(turn_id))):
                return StartedTurn(turn_id, session_id, False)
            await asyncio.sleep(0.05)
        await self._state.call(redis.set(key, mine, ex=self._ttl_s))
        return None

    async def _record(self, turn_id: str) -> Mapping[str, str]:
        record: Any = await self._state.call(self._state.redis.hgetall(self._key(turn_id)))
        if not record:
            raise _unknown(turn_id)
        return dict(record)

    def _key(self, turn_id: str) -> str:
        return self._state.key("turn", turn_id)


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


def _unknown(turn_id: str) -> NotFound:
    return NotFound(f"대화 턴 '{turn_id[:40]}'을(를) 찾을 수 없습니다. 보관 기간이 지났을 수 있습니다.")
