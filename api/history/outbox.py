"""Which turns the history still has to write: ids in the state store, each due at a time.

A turn enters when it begins and falls due when it ends (or, where its process died, when it must
have ended), so no crash loses one. A writer claims what is due for a while; what it does not
confirm falls due again. Times are those of the store's clock. Knows ids, not what is written.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from api.errors import StateUnavailable
from api.state.clock import NOW
from api.state.connection import State

ERASE = "erase:"
# Longer than a writer holds what it has claimed.
_ERASING_S = 90


# ARGV: how many may wait, ttl, then member and delay in ms, repeated. The oldest make room.
_ADD = (
    NOW
    + """
local dropped = 0
for i = 3, #ARGV, 2 do redis.call('ZADD', KEYS[1], now + ARGV[i + 1], ARGV[i]) end
local over = redis.call('ZCARD', KEYS[1]) - tonumber(ARGV[1])
if over > 0 then dropped = redis.call('ZREMRANGEBYRANK', KEYS[1], 0, over - 1) end
redis.call('EXPIRE', KEYS[1], ARGV[2])
return dropped
"""
)

# ARGV: how many at most, for how many ms. Returns {how many wait in all, member...}.
_CLAIM = (
    NOW
    + """
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
for _, member in ipairs(due) do redis.call('ZADD', KEYS[1], now + ARGV[2], member) end
return {redis.call('ZCARD', KEYS[1]), unpack(due)}
"""
)


class Outbox:
    """The waiting turns, shared by all processes."""

    def __init__(self, state: State, *, look_after_s: float, max_waiting: int, ttl_s: int) -> None:
        """Sets the bounds.

        Args:
            state: the store.
            look_after_s: when a turn that never told of its end must be over.
            max_waiting: more push the oldest out.
            ttl_s: how long turns can be read back; an outbox nobody adds to lives as long.
        """
        self.max_waiting = max_waiting
        self._state, self._look_after_s, self._ttl_s = state, look_after_s, ttl_s
        self._key = state.key("history", "outbox")
        self._add, self._claim = state.script(_ADD), state.script(_CLAIM)

    async def begun(self, turn_id: str) -> None:
        """A turn begins."""
        await self.put(turn_id, after_s=self._look_after_s)

    async def ended(self, turn_id: str) -> None:
        """A turn is over. A store that is away is no fault: the turn falls due by itself later."""
        with suppress(StateUnavailable):
            await self.put(turn_id)

    async def erase(self, session_id: str) -> None:
        """A session's turns are to be erased: again and again for a while, as some may be on their way."""
        until_ms = int((time.time() + _ERASING_S) * 1000)
        await self.put(f"{ERASE}{session_id}:{until_ms}")

    async def put(self, member: str, *, after_s: float = 0.0) -> None:
        """Adds a member, due in so many seconds, or moves the one that is there."""
        args: list[str | int] = [self.max_waiting, self._ttl_s, member, int(after_s * 1000)]
        await self._add(keys=[self._key], args=args)

    async def claim(self, most: int, *, lease_s: float) -> tuple[int, list[str]]:
        """How many wait in all, and up to `most` that are due, claimed for `lease_s` seconds."""
        waiting, *members = await self._claim(keys=[self._key], args=[most, int(lease_s * 1000)])
        return int(waiting), [str(member) for member in members]

    async def done(self, members: list[str]) -> None:
        """These are written."""
        if members:
            redis: Any = self._state.redis
            await self._state.call(redis.zrem(self._key, *members))

    async def waiting(self) -> int:
        """How many wait."""
        redis: Any = self._state.redis
        return int(await self._state.call(redis.zcard(self._key)))
