"""The record of each turn or job: what was asked, who carries it out, whether it shall stop.

A run claims the work with a token and keeps a lease; only the holder of the lease can write
events, so a message delivered twice never does the work twice at the same time, and what a
dead runner left can be taken over.

Knows nothing of what the work is.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Generic

from redis.exceptions import RedisError

from api.errors import StateUnavailable
from api.state.connection import State
from api.state.script_batches import Argument
from api.work.event_log import EventLog, RunnerDead
from api.work.kinds import Event
from api.work.scripts import BEGIN, CLAIM, RELEASE, RENEW, STOP


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to run a piece of work.

    Attributes:
        token: fences every write of this run.
        last: number of the newest event (above 0: an earlier run wrote a part).
        stop: it was asked to stop before it began.
    """

    token: str
    last: int
    stop: bool


@dataclass(frozen=True, slots=True)
class Renewal:
    """What a run learns when it renews its lease: `unfollowed_s` since the last remote follower."""

    stop: bool
    unfollowed_s: float


class WorkRecords(Generic[Event]):
    """Records of one kind of work in the state store, with their log."""

    def __init__(
        self, state: State, log: EventLog[Event], *, ttl_s: int, lease_s: float, patience_s: float
    ) -> None:
        """Times in seconds.

        Args:
            state: the store.
            log: the events.
            ttl_s: life of a record, renewed when the work ends.
            lease_s: how long a silent runner keeps its work.
            patience_s: how long work may be without a runner before it counts as lost:
                short where it runs in this process, long where a queue redelivers it.
        """
        self.log, self.lease_s = log, lease_s
        self._state, self._ttl_s, self._patience_s = state, ttl_s, patience_s
        register = state.script
        self._begin, self._claim, self._renew = register(BEGIN), register(CLAIM), register(RENEW)
        self._release, self._stop = register(RELEASE), register(STOP)

    def record_begun(self, work_id: str, fields: Mapping[str, str], *, nonce: str = "") -> Awaitable[Any]:
        """Records work that waits for a runner; 0 where it is there already.

        Args:
            work_id: its id.
            fields: what this kind of work keeps besides.
            nonce: unique; with it, work under this id that has ended is replaced.
        """
        patience_ms = int(self._patience_s * 1000)
        args: list[Argument] = [self._ttl_s, patience_ms, nonce]
        for name, value in fields.items():
            args += [name, value]
        return self._begin(keys=self.log.keys(work_id), args=args)

    async def claim(self, work_id: str, *, wait: bool = True) -> Claim | None:
        """Takes the work; None when it has ended. Waits while another run holds the lease.

        Raises `NotFound`, and `LeaseLost` when held and `wait` is False.
        """
        token = secrets.token_hex(8)
        while True:
            args: list[Argument] = [token, int(self.lease_s * 1000)]
            code, last, extra = await self._claim(keys=self.log.keys(work_id)[:1], args=args)
            if code == -1:
                raise self.log.kind.unknown(work_id)
            if code == 0:
                return None
            if code == 1:
                return Claim(token, last, bool(extra))
            if not wait:
                raise self.log.kind.lost(work_id)
            await asyncio.sleep(min(extra / 1000 + 0.02, 1.0))

    async def claim_dead(self, work_id: str) -> Claim | None:
        """Takes the work only where its runner is dead."""
        token = secrets.token_hex(8)
        args: list[Argument] = [token, int(self.lease_s * 1000), "dead"]
        code, last, extra = await self._claim(keys=self.log.keys(work_id)[:1], args=args)
        return Claim(token, last, bool(extra)) if code == 1 else None

    async def renew(self, work_id: str, token: str) -> Renewal:
        """Keeps the lease. Raises `LeaseLost`."""
        args: list[Argument] = [token, int(self.lease_s * 1000)]
        code, unfollowed_ms = await self._renew(keys=self.log.keys(work_id)[:1], args=args)
        if code < 0:
            raise self.log.kind.lost(work_id)
        return Renewal(bool(code), unfollowed_ms / 1000)

    async def release(self, work_id: str, token: str) -> None:
        """Gives the lease back at once, so that another run need not wait for its end."""
        await self._release(keys=self.log.keys(work_id)[:1], args=[token])

    async def stop(self, work_id: str) -> None:
        """Asks the work to stop, wherever it runs; unknown and ended work is ignored."""
        args: list[Argument] = [work_id, self.stop_channel]
        await self._stop(keys=self.log.keys(work_id)[:1], args=args)

    @property
    def stop_channel(self) -> str:
        """Where the ids of work to be stopped are published."""
        return f"{self._state.prefix}stop"

    async def settle(self, work_id: str) -> bool:
        """Is called by a follower who finds the runner dead; True when this ended the work.

        Work that another run will take up is left to it.
        """
        return False

    async def follow(
        self, work_id: str, after: int = 0, *, away_s: float = 15.0
    ) -> AsyncGenerator[tuple[int, Event]]:
        """Numbered events above `after`, replayed and live, to the final event; never hangs.

        The store may be away for up to `away_s` seconds in between. Raises `NotFound`,
        `StateUnavailable`.
        """
        away_since, judge_from = 0.0, 0.0
        while True:
            try:
                async with aclosing(self.log.follow(work_id, after)) as items:
                    async for item in items:
                        away_since = 0.0
                        if isinstance(item, RunnerDead):
                            if time.monotonic() >= judge_from:
                                await self.settle(work_id)
                            continue
                        after = item[0]
                        yield item
                        if self.log.kind.status_after(item[1]):
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

    async def record(self, work_id: str) -> Mapping[str, str]:
        """The fields of the record. Raises `NotFound`."""
        record: Any = await self._state.call(self._state.redis.hgetall(self.log.keys(work_id)[0]))
        if not record:
            raise self.log.kind.unknown(work_id)
        return dict(record)

    async def forget(self, work_id: str) -> None:
        """Removes record and log."""
        await self._state.call(self._state.redis.delete(*self.log.keys(work_id)))
