"""The event log: one Redis Stream per turn or job, numbered from 1, followed live or replayed.

An append carries its number, so repeating one changes nothing, and the token of the run
that writes, so a run that lost its lease cannot write any more. Appended events are also
published; followers in the writer's own process get them without a round trip. The numbers
a client has seen never change until the log expires.

Knows nothing of what the events mean, nor of how work is run, judged dead or saved.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, Generic

from redis.exceptions import RedisError

from api.state.away import unavailable
from api.state.channels import Listener
from api.state.clock import NOW
from api.state.connection import State
from api.state.script_batches import Argument
from api.work.feed import Feed
from api.work.kinds import Event, WorkKind


class RunnerDead:
    """Found by a follower instead of an event: nobody carries the work out."""


DEAD = RunnerDead()

# KEYS: record, log. ARGV: token, ttl, channel, status ('' unless the last event is final),
# most events kept (0: all), number of the first event, events... Returns {code, last}.
_APPEND = (
    """
local rec = redis.call('HMGET', KEYS[1], 'token', 'last', 'final')
if not rec[2] then return {-1, 0} end
local last, n, added = tonumber(rec[2]), tonumber(ARGV[6]), {}
if last < n + #ARGV - 7 then
  if rec[3] then return {-3, last} end
  if ARGV[1] ~= '' and rec[1] ~= ARGV[1] then return {-2, last} end
  if n > last + 1 then return {-4, last} end
end
for i = 7, #ARGV do
  local number = n + i - 7
  if number > last then
    redis.call('XADD', KEYS[2], number .. '-0', 'e', ARGV[i])
    added[#added + 1] = ARGV[i]
  end
end
if #added == 0 then return {0, last} end
local first = last + 1
redis.call('HSET', KEYS[1], 'last', last + #added)
if ARGV[5] ~= '0' then redis.call('XTRIM', KEYS[2], 'MAXLEN', '~', ARGV[5]) end
if first == 1 then redis.call('EXPIRE', KEYS[2], redis.call('TTL', KEYS[1])) end
if ARGV[4] ~= '' then
"""
    + NOW
    + """
  redis.call('HSET', KEYS[1], 'final', '1', 'status', ARGV[4], 'ended_ms', now)
  redis.call('EXPIRE', KEYS[1], ARGV[2])
  redis.call('EXPIRE', KEYS[2], ARGV[2])
end
redis.call('PUBLISH', ARGV[3], first .. '\\n' .. table.concat(added, '\\n'))
return {1, last + #added}
"""
)

# A follower looks in: it is counted, and learns where the log stands and whether its
# runner still lives. Returns {last, final, dead} or {-1, 0, 0}.
_TOUCH = (
    """
local rec = redis.call('HMGET', KEYS[1], 'last', 'final', 'lease_until', 'patience', 'followed_until')
if not rec[1] then return {-1, 0, 0} end
if rec[2] then return {tonumber(rec[1]), 1, 0} end
"""
    + NOW
    + """
if tonumber(rec[5]) < now + tonumber(ARGV[1]) then
  redis.call('HSET', KEYS[1], 'followed_until', now + ARGV[1])
end
local dead = 0
if now > tonumber(rec[3]) + tonumber(rec[4]) then dead = 1 end
return {tonumber(rec[1]), 0, dead}
"""
)


class EventLog(Generic[Event]):
    """Logs of one kind of work in the state store. One instance per process."""

    def __init__(
        self,
        state: State,
        kind: WorkKind[Event],
        *,
        ttl_s: int = 3600,
        look_s: float = 1.0,
        most_events: int = 0,
        on_end: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        """Sets how long logs live and who hears of their end.

        Args:
            state: the store.
            kind: whose events these are.
            ttl_s: a log's life after its end, in seconds.
            look_s: how often a remote follower looks.
            most_events: about so many of the newest events are kept; 0 keeps all.
            on_end: is called with the id of all work whose final event is written here.
        """
        self.kind = kind
        self._state, self._ttl_s, self._look_s = state, ttl_s, look_s
        self._most_events, self._on_end = most_events, on_end
        self._append = state.script(_APPEND)
        self._touch = state.script(_TOUCH)
        self._feeds: dict[str, Feed[Event]] = {}

    async def append(self, work_id: str, n: int, event: Event, *, token: str = "") -> bool:
        """Writes event number `n`; False when it was there already."""
        return await self.append_all(work_id, n, [event], token=token)

    async def append_all(self, work_id: str, n: int, events: Sequence[Event], *, token: str = "") -> bool:
        """Writes events numbered from `n` in one round trip; False when all were there.

        Raises:
            NotFound: the work is unknown or has expired.
            LeaseLost: `token` no longer owns the work, or the log has its final event.
        """
        status = self.kind.status_after(events[-1])
        args: list[Argument] = [
            token,
            self._ttl_s,
            self._channel(work_id),
            status,
            self._most_events,
            n,
            *map(self.kind.encode, events),
        ]
        code, end = await self._append(keys=self.keys(work_id), args=args)
        if code == -1:
            raise self.kind.unknown(work_id)
        if code in (-2, -3):
            raise self.kind.lost(work_id)
        if code == -4:
            raise ValueError(f"event {n} of {work_id} leaves a gap after {end}")
        feed = self._feeds.get(work_id)
        if feed is not None:
            feed.add(n, events)
        if status and self._on_end is not None:
            await self._on_end(work_id)
        return bool(code)

    async def last(self, work_id: str) -> int:
        """Number of the newest event, 0 for none. Raises `NotFound`."""
        value = await self._state.call(self._state.redis.hget(self.keys(work_id)[0], "last"))
        if value is None:
            raise self.kind.unknown(work_id)
        return int(value)

    async def read(self, work_id: str, after: int = 0) -> list[tuple[int, Event]]:
        """The events written so far with a number above `after`."""
        key = self.keys(work_id)[1]
        entries: Any = await self._state.call(self._state.redis.xrange(key, min=f"{after + 1}-0"))
        return [(int(i.partition("-")[0]), self.kind.decode(f["e"])) for i, f in entries]

    def open_feed(self, work_id: str, *, base: int = 0) -> None:
        """Announces that this process writes the work from event `base + 1` on."""
        if work_id in self._feeds and self._feeds[work_id].base == base:
            return
        self.close_feed(work_id)
        self._feeds[work_id] = Feed(base)

    def close_feed(self, work_id: str) -> None:
        """This process writes the work no more; its followers go on with the store."""
        feed = self._feeds.pop(work_id, None)
        if feed is not None:
            feed.close()

    def followers(self, work_id: str) -> int:
        """How many follow the work in this process through its feed."""
        feed = self._feeds.get(work_id)
        return feed.followers if feed else 0

    def keys(self, work_id: str) -> list[str]:
        """The keys of the record and of the log."""
        return [self._state.key(self.kind.key, work_id), self._state.key(self.kind.key, work_id, "log")]

    async def follow(self, work_id: str, after: int = 0) -> AsyncGenerator[tuple[int, Event] | RunnerDead]:
        """Events above `after`: those written, then live ones, to the final event.

        Yields `DEAD` whenever the runner is found dead; the caller settles the work and
        goes on iterating. Raises `NotFound` for unknown work, `StateUnavailable`.
        """
        feed = self._feeds.get(work_id)
        if feed is not None:
            if after < feed.base:
                for number, event in await self.read(work_id, after):
                    if number <= feed.base:
                        yield number, event
            async with aclosing(feed.follow(max(after, feed.base))) as events:
                async for number, event in events:
                    after = number
                    yield number, event
                    if self.kind.status_after(event):
                        return
        async with aclosing(self._follow_store(work_id, after)) as items:
            async for item in items:
                yield item

    async def _follow_store(self, work_id: str, after: int) -> AsyncGenerator[tuple[int, Event] | RunnerDead]:
        last, final, dead = await self._look(work_id)
        if final:
            for item in await self._rest(work_id, after, last):
                yield item
            return
        async with self._listening(work_id) as listener:
            # What was written before the subscription is read here; later events are published.
            batch = await self.read(work_id, after)
            looked = time.monotonic()
            while True:
                for number, event in batch:
                    after = number
                    yield number, event
                    if self.kind.status_after(event):
                        return
                if dead:
                    yield DEAD
                dead, news = 0, await self._news(listener, after)
                if news is None or time.monotonic() - looked > self._look_s:
                    last, final, dead = await self._look(work_id)
                    looked = time.monotonic()
                    if final:
                        news = await self._rest(work_id, after, last)
                        if not news:
                            return
                    elif news is None:
                        news = await self.read(work_id, after)
                batch = news

    async def _rest(self, work_id: str, after: int, last: int) -> list[tuple[int, Event]]:
        """What is left of a complete log.

        A reader that is ahead of it (the store lost its newest events) still gets the end.
        """
        return await self.read(work_id, after if after <= last else last - 1)

    @asynccontextmanager
    async def _listening(self, work_id: str) -> AsyncIterator[Listener]:
        channel = self._channel(work_id)
        try:
            with self._state.guard():
                listener = await self._state.channels.subscribe(channel)
        except (RedisError, TimeoutError) as exc:
            raise unavailable() from exc
        try:
            yield listener
        finally:
            await self._state.channels.unsubscribe(channel, listener)

    async def _news(self, listener: Listener, after: int) -> list[tuple[int, Event]] | None:
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
        return [(number, self.kind.decode(text)) for number, text in fresh if number > after]

    async def _look(self, work_id: str) -> tuple[int, int, int]:
        lasting_ms = int(self._look_s * 3000)
        last, final, dead = await self._touch(keys=self.keys(work_id)[:1], args=[lasting_ms])
        if last < 0:
            raise self.kind.unknown(work_id)
        return last, final, dead

    def _channel(self, work_id: str) -> str:
        return f"{self._state.prefix}events:{work_id}"
