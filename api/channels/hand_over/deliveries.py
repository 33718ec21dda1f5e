"""The queue of hand-overs in the state store: due at a time, claimed for a while, at last dead.

All processes share it, and it is there with and without RabbitMQ, which could not delay a retry. What a
killed process had claimed falls due again, so a webhook may get one twice, under the same id.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from api.state.clock import NOW
from api.state.connection import State

_KEPT_S = 7 * 86_400
_DEAD_S = 30 * 86_400
# A session's list outlives what it names, revived once.
_LISTED_S = 2 * (_KEPT_S + _DEAD_S)
# KEYS: due, item, session. ARGV: id, body, ttl, ttl of the session's list.
# An item that is there was asked for before.
_PUT = (
    NOW
    + """
if redis.call('HSETNX', KEYS[2], 'body', ARGV[2]) == 0 then return 0 end
redis.call('EXPIRE', KEYS[2], ARGV[3])
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('SADD', KEYS[3], ARGV[1])
redis.call('EXPIRE', KEYS[3], ARGV[4])
return 1
"""
)
# KEYS: due. ARGV: how many at most, for how many ms.
_CLAIM = (
    NOW
    + """
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
for _, id in ipairs(due) do redis.call('ZADD', KEYS[1], now + ARGV[2], id) end
return due
"""
)
# KEYS: due, dead, item. ARGV: id, in how many ms again (-1: never), what went wrong, ttl of the dead.
# One that was erased while it was being sent stays erased.
_FAILED = (
    NOW
    + """
local body = redis.call('HGET', KEYS[3], 'body')
if not body or body == '' then return 0 end
redis.call('HSET', KEYS[3], 'error', ARGV[3])
if tonumber(ARGV[2]) >= 0 then
  redis.call('ZADD', KEYS[1], 'XX', now + ARGV[2], ARGV[1])
else
  redis.call('ZREM', KEYS[1], ARGV[1])
  redis.call('ZADD', KEYS[2], now, ARGV[1])
  redis.call('EXPIRE', KEYS[3], ARGV[4])
end
return 1
"""
)
# KEYS: due, dead, item. ARGV: id.
_REVIVE = (
    NOW
    + """
redis.call('ZREM', KEYS[2], ARGV[1])
if redis.call('EXISTS', KEYS[3]) == 0 then return 0 end
redis.call('HDEL', KEYS[3], 'attempts')
redis.call('ZADD', KEYS[1], now, ARGV[1])
return 1
"""
)
# KEYS: due, dead, item. ARGV: id. Its id stays, so that a copy under way is not queued anew.
_ERASE = """
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
if redis.call('EXISTS', KEYS[3]) == 0 then return 0 end
redis.call('HSET', KEYS[3], 'body', '')
redis.call('HDEL', KEYS[3], 'error')
return 1
"""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt to be made; `attempt` counts from 1."""

    id: str
    body: str
    attempt: int


class Deliveries:
    """Hand-overs that wait, and those that were given up."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._due, self._dead = self._key("due"), self._key("dead")
        self._put, self._claim = state.script(_PUT), state.script(_CLAIM)
        self._failed, self._revive = state.script(_FAILED), state.script(_REVIVE)
        self._erase = state.script(_ERASE)

    async def put(self, id: str, body: str, *, session_id: str, owner: str) -> bool:
        """Queues a session's hand-over; False where this one was queued before, delivered or not."""
        keys = [self._due, self._item(id), self._session(session_id, owner)]
        return bool(await self._put(keys=keys, args=[id, body, _KEPT_S, _LISTED_S]))

    async def claim(self, most: int, *, lease_s: float) -> list[Delivery]:
        """Up to `most` that are due, for this process alone during `lease_s` seconds."""
        ids = await self._claim(keys=[self._due], args=[most, int(lease_s * 1000)])
        claimed: list[Delivery] = []
        for id in map(str, ids):
            item = self._item(id)
            body: Any = await self._state.call(self._redis.hget(item, "body"))
            if not body:
                await self._state.call(self._redis.zrem(self._due, id))  # erased, or older than what is kept
                continue
            attempt: Any = await self._state.call(self._redis.hincrby(item, "attempts", 1))
            claimed.append(Delivery(id, str(body), int(attempt)))
        return claimed

    async def done(self, id: str) -> None:
        """It was taken; its text goes, its id stays for a while, so that it is not sent again."""
        await self._state.call(self._redis.zrem(self._due, id))
        await self._state.call(self._redis.hset(self._item(id), "body", ""))

    async def failed(self, id: str, error: str, *, again_s: float | None) -> None:
        """It was not taken: due again in `again_s` seconds, or dead."""
        delay = -1 if again_s is None else int(again_s * 1000)
        keys = [self._due, self._dead, self._item(id)]
        await self._failed(keys=keys, args=[id, delay, error[:300], _DEAD_S])

    async def erase(self, session_id: str, *, owner: str) -> bool:
        """Forgets what a session handed over and nobody took, the dead too; False where there was nothing."""
        session = self._session(session_id, owner)
        ids: Any = await self._state.call(self._redis.smembers(session))
        for id in map(str, ids):
            await self._erase(keys=[self._due, self._dead, self._item(id)], args=[id])
        await self._state.call(self._redis.delete(session))
        return bool(ids)

    async def dead(self) -> list[tuple[str, str]]:
        """Id and last error of those that were given up, oldest first."""
        ids: Any = await self._state.call(self._redis.zrange(self._dead, 0, -1))
        return [(id, await self._error(id)) for id in map(str, ids)]

    async def revive(self) -> list[str]:
        """Queues the dead again; returns their ids."""
        ids = [id for id, _ in await self.dead()]
        return [
            id for id in ids if await self._revive(keys=[self._due, self._dead, self._item(id)], args=[id])
        ]

    async def _error(self, id: str) -> str:
        error: Any = await self._state.call(self._redis.hget(self._item(id), "error"))
        return str(error or "")

    @property
    def _redis(self) -> Any:
        return self._state.redis

    def _item(self, id: str) -> str:
        return self._key(f"item:{id}")

    def _session(self, session_id: str, owner: str) -> str:
        return self._key(f"session:{owner}:{session_id}")

    def _key(self, part: str) -> str:
        return self._state.key("hand_over", "all", part)
