"""What one key may use: requests a minute, and turns at the same time; shared by all processes.

Knows key ids and numbers; not who sent a request or what a turn does.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from api.access.keys import Key
from api.access.visitors import is_visitor
from api.errors import TooMany
from api.state.clock import NOW
from api.state.connection import State
from api.state.script_batches import Argument

_BLOCK = 20
_HELD_S = 5.0
_TURN_WAIT_S = 2.0
_BEGINNING_MS = 5000

# A token bucket that holds a minute's worth. ARGV: per minute, wanted.
# Returns {granted, ms until the next one}.
_TAKE = (
    NOW
    + """
local limit, wanted = tonumber(ARGV[1]), tonumber(ARGV[2])
local rec = redis.call('HMGET', KEYS[1], 'level', 'at')
local level = math.min(limit, tonumber(rec[1] or limit) + (now - tonumber(rec[2] or now)) * limit / 60000)
local granted = math.min(wanted, math.floor(level))
redis.call('HSET', KEYS[1], 'level', tostring(level - granted), 'at', now)
redis.call('PEXPIRE', KEYS[1], 120000)
if granted > 0 then return {granted, 0} end
return {0, math.ceil((1 - level) * 60000 / limit)}
"""
)

# ARGV: limit, turn id, ms it counts at most. Returns {1} or {0, now, turn, until, turn, until...}.
_ENTER = (
    NOW
    + """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZSCORE', KEYS[1], ARGV[2]) then return {1} end
if redis.call('ZCARD', KEYS[1]) < tonumber(ARGV[1]) then
  redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[2])
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return {1}
end
return {0, now, unpack(redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES'))}
"""
)


@dataclass(slots=True)
class _Held:
    """Permits taken from the store and not used yet."""

    left: int
    until: float


class RateLimits:
    """A token bucket per key.

    Permits come from the store in blocks of a twentieth of the limit, so that a busy key costs
    a round trip every so many requests; those not used within five seconds are lost to the key.
    The limit is never exceeded, whatever the number of processes.
    """

    def __init__(self, state: State) -> None:
        self._state, self._take = state, state.script(_TAKE)
        self._held: dict[str, _Held] = {}
        self._asking: dict[str, asyncio.Lock] = {}

    async def take(self, key: Key) -> None:
        """Uses one request of the key's minute. Raises `TooMany`, `StateUnavailable`."""
        if not key.per_minute:
            return
        if self._use(key):
            return
        # One asks the store for a block; those who came meanwhile share it.
        lock = self._asking.setdefault(key.id, asyncio.Lock())
        try:
            await self._take_block(key, lock)
        finally:
            # There may be as many addresses as there are visitors: none is kept for good.
            if not lock.locked() and self._asking.get(key.id) is lock:
                del self._asking[key.id]

    async def _take_block(self, key: Key, lock: asyncio.Lock) -> None:
        async with lock:
            if self._use(key):
                return
            wanted = max(1, key.per_minute // _BLOCK)
            args: list[Argument] = [key.per_minute, wanted]
            granted, wait_ms = await self._take(keys=[self._state.key("rate", key.id)], args=args)
            if not granted:
                raise _spent(key, wait_ms / 1000)
            if granted > 1:
                self._held[key.id] = _Held(granted - 1, time.monotonic() + _HELD_S)

    def _use(self, key: Key) -> bool:
        """Uses a permit that is held, if there is one."""
        held = self._held.get(key.id)
        if held is None:
            return False
        if held.left < 1 or time.monotonic() > held.until:
            del self._held[key.id]
            return False
        held.left -= 1
        return True


class TurnSlots:
    """How many turns of a key run at the same time.

    A turn counts until its record says that it has ended; that is looked up only where the limit
    is reached, so nobody needs to tell when a turn ends, wherever it ran and whoever left it.
    """

    def __init__(self, state: State, *, turn_s: float) -> None:
        """`turn_s`: seconds after which a turn no longer counts, whatever became of it."""
        self._state, self._enter, self._turn_ms = state, state.script(_ENTER), int(turn_s * 1000)
        self._raw: Counter[str] = Counter()

    async def enter(self, key: Key, turn_id: str) -> None:
        """Counts a turn that is about to begin. Raises `TooMany`, `StateUnavailable`."""
        if not key.concurrent_turns:
            return
        for attempt in range(2):
            args: list[Argument] = [key.concurrent_turns, turn_id, self._turn_ms]
            entered, *counted = await self._enter(keys=[self._slots(key)], args=args)
            if entered or (attempt == 0 and not await self._clear(key, counted)):
                break
        if not entered:
            raise _too_many(key)

    async def leave(self, key: Key, turn_id: str) -> None:
        """Takes back a turn that did not begin."""
        if key.concurrent_turns:
            await self._state.call(self._state.redis.zrem(self._slots(key), turn_id))

    @contextmanager
    def raw(self, key: Key | None) -> Iterator[None]:
        """Counts a raw request while it lasts, in this process alone. Raises `TooMany`."""
        if key is None or not key.concurrent_turns:
            yield
            return
        if self._raw[key.id] >= key.concurrent_turns:
            raise _too_many(key)
        self._raw[key.id] += 1
        try:
            yield
        finally:
            self._raw[key.id] -= 1

    async def _clear(self, key: Key, counted: list[Any]) -> bool:
        """Forgets those that have ended or are gone; True where there were any."""
        now_ms, ended = counted[0], []
        for turn_id, until_ms in zip(counted[1::2], counted[2::2], strict=True):
            record: Any = self._state.redis.hmget(self._state.key("turn", turn_id), ["last", "final"])
            last, final = await self._state.call(record)
            # A turn enters before its record is written.
            age_ms = self._turn_ms - (float(until_ms) - now_ms)
            if final is not None or (last is None and age_ms > _BEGINNING_MS):
                ended.append(turn_id)
        if ended:
            await self._state.call(self._state.redis.zrem(self._slots(key), *ended))
        return bool(ended)

    def _slots(self, key: Key) -> str:
        return self._state.key("slots", key.id)


def _spent(key: Key, wait_s: float) -> TooMany:
    whose = "요청이 너무 많습니다" if is_visitor(key) else "이 API 키의 한도를 다 썼습니다"
    return TooMany(f"{whose}(1분 {key.per_minute:,}건). 잠시 후 다시 보내 주세요.", retry_after=wait_s)


def _too_many(key: Key) -> TooMany:
    return TooMany(
        f"이 API 키로는 동시에 {key.concurrent_turns:,}개까지 답변을 받을 수 있습니다.",
        retry_after=_TURN_WAIT_S,
    )
