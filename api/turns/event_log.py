"""The event log: one Redis Stream per turn, numbered from 1, followed live or replayed.

An append carries its number, so repeating one changes nothing, and the token of the run
that writes, so a run that lost its lease cannot write any more. Appended events are also
published; followers in the writer's own process get them without a round trip. The whole
log stays as it was until it expires: numbers a client has seen never change.

Knows nothing of how a turn is run, judged dead or saved.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

from redis.exceptions import RedisError

from api.errors import ApiError, NotFound
from api.events import TURN_EVENT, TurnCompleted, TurnEvent, is_final
from api.state.away import unavailable
from api.state.channels import Listener
from api.state.connection import State
from api.state.script_batches import Argument
from api.turns.feed import Feed

Numbered = tuple[int, TurnEvent]
DEAD = "dead"

# KEYS: record, log. ARGV: token, ttl, channel, status ('' unless the last event is final),
# number of the first event, events... Returns {code, last}.
_APPEND = """
local rec = redis.call('HMGET', KEYS[1], 'token', 'last', 'final')
if not rec[2] then return {-1, 0} end
local last, n, added = tonumber(rec[2]), tonumber(ARGV[5]), {}
if last < n + #ARGV - 6 then
  if rec[3] then return {-3, last} end
  if ARGV[1] ~= '' and rec[1] ~= ARGV[1] then return {-2, last} end
  if n > last + 1 then return {-4, last} end
end
for i = 6, #ARGV do
  local number = n + i - 6
  if number > last then
    redis.call('XADD', KEYS[2], number .. '-0', 'e', ARGV[i])
    added[#added + 1] = ARGV[i]
  end
end
if #added == 0 then return {0, last} end
local first = last + 1
redis.call('HSET', KEYS[1], 'last', last + #added)
if first == 1 then redis.call('EXPIRE', KEYS[2], redis.call('TTL', KEYS[1])) end
if ARGV[4] ~= '' then
  local t = redis.call('TIME')
  local now = t[1] * 1000 + math.floor(t[2] / 1000)
  redis.call('HSET', KEYS[1], 'final', '1', 'status', ARGV[4], 'ended_ms', now)
  redis.call('EXPIRE', KEYS[1], ARGV[2])
  redis.call('EXPIRE', KEYS[2], ARGV[2])
end
redis.call('PUBLISH', ARGV[3], first .. '\\n' .. table.concat(added, '\\n'))
return {1, last + #added}
"""

# A follower looks in: it is counted, and learns where the log stands and whether its
# runner still lives. Returns {last, final, dead} or {-1, 0, 0}.
_TOUCH = """
local rec = redis.call('HMGET', KEYS[1], 'last', 'final', 'lease_until', 'patience', 'followed_until')
if not rec[1] then return {-1, 0, 0} end
if rec[2] then return {tonumber(rec[1]), 1, 0} end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
if tonumber(rec[5]) < now + tonumber(ARGV[1]) then
  redis.call('HSET', KEYS[1], 'followed_until', now + ARGV[1])
end
local dead = 0
if now > tonumber(rec[3]) + tonumber(rec[4]) then dead = 1 end
return {tonumber(rec[1]), 0, dead}
"""


class LeaseLost(ApiError):
    """Another run has taken this turn over, or it is closed: write no more."""

    code = "lease_lost"


class EventLog:
    """Turn logs in the state store. One instance per process."""

    def __init__(
        self,
        state: State,
        *,
        ttl_s: int = 3600,
        look_s: float = 1.0,
        on_end: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        """Sets how long logs live and who hears of their end.

        Args:
            state: the store.
            ttl_s: a log's life after its end, in seconds.
            look_s: how often a remote follower looks.
            on_end: told the id of each turn whose final event is written here.
        """
        self._state, self._ttl_s, self._look_s = state, ttl_s, look_s
        self._on_end = on_end
        self._append = state.script(_APPEND)
        self._touch = state.script(_TOUCH)
        self._feeds: dict[str, Feed] = {}

    async def append(self, turn_id: str, n: int, event: TurnEvent, *, token: str = "") -> bool:
        """Writes event number `n`; False when it was there already."""
        return await self.append_all(turn_id, n, [event], token=token)

    async def append_all(self, turn_id: str, n: int, events: Sequence[TurnEvent], *, token: str = "") -> bool:
        """Writes events numbered from `n` in one round trip; False when all were there.

        Raises:
            NotFound: the turn is unknown or has expired.
            LeaseLost: `token` no longer owns the turn, or the log has its final event.
        """
        last = events[-1]
        status = ""
        if is_final(last):
            stopped = isinstance(last, TurnCompleted) and last.stopped
            status = "stopped" if stopped else "completed" if last.type == "turn.completed" else "failed"
        texts = [event.model_dump_json(by_alias=True) for event in events]
        args: list[Argument] = [token, self._ttl_s, self._channel(turn_id), status, n, *texts]
        code, end = await self._append(keys=self._keys(turn_id), args=args)
        if code == -1:
            raise NotFound(f"대화 턴 '{turn_id}'을(를) 찾을 수 없습니다.")
        if code in (-2, -3):
            raise LeaseLost(f"턴 '{turn_id}'은(는) 다른 실행이 맡았거나 이미 끝났습니다.")
        if code == -4:
            raise ValueError(f"event {n} of turn {turn_id} leaves a gap after {end}")
        feed = self._feeds.get(turn_id)
        if feed is not None:
            feed.add(n, events)
        if status and self._on_end is not None:
            await self._on_end(turn_id)
        return bool(code)

    async def last(self, turn_id: str) -> int:
        """Number of the newest event, 0 for none. Raises `NotFound`."""
        value = await self._state.call(self._state.redis.hget(self._keys(turn_id)[0], "last"))
        if value is None:
            raise NotFound(f"대화 턴 '{turn_id}'을(를) 찾을 수 없습니다.")
        return int(value)

    async def read(self, turn_id: str, after: int = 0) -> list[Numbered]:
        """The events written so far with a number above `after`."""
        key = self._keys(turn_id)[1]
        entries: Any = await self._state.call(self._state.redis.xrange(key, min=f"{after + 1}-0"))
        return [(int(i.partition("-")[0]), TURN_EVENT.validate_json(f["e"])) for i, f in entries]

    def open_feed(self, turn_id: str, *, base: int = 0) -> None:
        """Announces that this process writes the turn from event `base + 1` on."""
        if turn_id in self._feeds and self._feeds[turn_id].base == base:
            return
        self.close_feed(turn_id)
        self._feeds[turn_id] = Feed(base)

    def close_feed(self, turn_id: str) -> None:
        """This process writes the turn no more; its followers go on with the store."""
        feed = self._feeds.pop(turn_id, None)
        if feed is not None:
            feed.close()

    def followers(self, turn_id: str) -> int:
        """How many follow the turn in this process through its feed."""
        feed = self._feeds.get(turn_id)
        return feed.followers if feed else 0

    async def follow(self, turn_id: str, after: int = 0) -> AsyncGenerator[Numbered | str]:
        """Events above `after`: those written, then live ones, to the final event.

        Yields `DEAD` whenever the runner is found dead; the caller closes the turn and
        goes on iterating. Raises `NotFound` for an unknown turn, `StateUnavailable`.
        """
        feed = self._feeds.get(turn_id)
        if feed is not None:
            if after < feed.base:
                for number, event in await self.read(turn_id, after):
                    if number <= feed.base:
                        yield number, event
            async with aclosing(feed.follow(max(after, feed.base))) as events:
                async for number, event in events:
                    after = number
                    yield number, event
                    if is_final(event):
                        return
        async with aclosing(self._follow_store(turn_id, after)) as items:
            async for item in items:
                yield item

    async def _follow_store(self, turn_id: str, after: int) -> AsyncGenerator[Numbered | str]:
        last, final, dead = await self._look(turn_id)
        if final:
            for item in await self._rest(turn_id, after, last):
                yield item
            return
        async with self._listening(turn_id) as listener:
            # What was written before the subscription is read here; later events are published.
            batch = await self.read(turn_id, after)
            looked = time.monotonic()
            while True:
                for number, event in batch:
                    after = number
                    yield number, event
                    if is_final(event):
                        return
                if dead:
                    yield DEAD
                dead, news = 0, await self._news(listener, after)
                if news is None or time.monotonic() - looked > self._look_s:
                    last, final, dead = await self._look(turn_id)
                    looked = time.monotonic()
                    if final:
                        news = await self._rest(turn_id, after, last)
                        if not news:
                            return
                    elif news is None:
                        news = await self.read(turn_id, after)
                batch = news

    async def _rest(self, turn_id: str, after: int, last: int) -> list[Numbered]:
        """What is left of a complete log.

        A reader that is ahead of it (the store lost its newest events) still gets the end.
        """
        return await self.read(turn_id, after if after <= last else last - 1)

    @asynccontextmanager
    async def _listening(self, turn_id: str) -> AsyncIterator[Listener]:
        channel = self._channel(turn_id)
        try:
            with self._state.guard():
                listener = await self._state.channels.subscribe(channel)
        except (RedisError, TimeoutError) as exc:
            raise unavailable() from exc
        try:
            yield listener
        finally:
            await self._state.channels.unsubscribe(channel, listener)

    async def _news(self, listener: Listener, after: int) -> list[Numbered] | None:
        """The events published next; None after a silence, or where something was missed."""
        try:
            message = await listener.get(self._look_s)
        except TimeoutError:
            return None
        if message is None:
            return None
        head, *texts = message.split("\n")
        first = int(head)
        if first > after + 1:
            return None
        fresh = enumerate(texts, start=first)
        return [(number, TURN_EVENT.validate_json(text)) for number, text in fresh if number > after]

    async def _look(self, turn_id: str) -> tuple[int, int, int]:
        lasting_ms = int(self._look_s * 3000)
        last, final, dead = await self._touch(keys=self._keys(turn_id)[:1], args=[lasting_ms])
        if last < 0:
            raise NotFound(f"대화 턴 '{turn_id}'을(를) 찾을 수 없습니다. 보관 기간이 지났을 수 있습니다.")
        return last, final, dead

    def _channel(self, turn_id: str) -> str:
        return f"{self._state.prefix}events:{turn_id}"

    def _keys(self, turn_id: str) -> list[str]:
        return [self._state.key("turn", turn_id), self._state.key("turn", turn_id, "log")]
