"""One publish/subscribe connection per process, shared by every follower and runner in it.

A message is only a hint that arrives early: streams and hashes in the store are the truth.
So after a lost connection each listener gets `LOST` once and looks for itself.
Knows nothing of turns or events.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import structlog
from redis.exceptions import RedisError

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = structlog.get_logger(__name__)
LOST = None
_IDLE_S = 5.0


class Listener:
    """What one subscriber of one channel has received; `None` (`LOST`) means look again."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[str | None] = asyncio.Queue()

    def put(self, message: str | None) -> None:
        """Adds a message (called by `Channels`)."""
        self._queue.put_nowait(message)

    async def get(self, timeout_s: float) -> str | None:
        """The next message; raises `TimeoutError` after `timeout_s` seconds of silence."""
        if not self._queue.empty():
            return self._queue.get_nowait()
        async with asyncio.timeout(timeout_s):
            return await self._queue.get()


class Channels:
    """Subscriptions of this process, by channel name."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._pubsub: Any = None
        self._task: asyncio.Task[None] | None = None
        self._listeners: dict[str, set[Listener]] = {}
        self._confirmed: dict[str, asyncio.Event] = {}
        self._changes = asyncio.Lock()

    async def subscribe(self, channel: str, *, timeout_s: float = 2.0) -> Listener:
        """Listens on `channel`; what is published after this returns will be received.

        Raises `redis.exceptions.RedisError` or `TimeoutError` when the store is away.
        """
        listener = Listener()
        async with self._changes:
            first = channel not in self._listeners
            self._listeners.setdefault(channel, set()).add(listener)
            confirmed = self._confirmed.setdefault(channel, asyncio.Event())
            try:
                if first:
                    if self._pubsub is None:
                        self._pubsub = self._redis.pubsub()
                    await self._pubsub.subscribe(channel)
                    self._ensure_reading()
            except BaseException:
                self._forget(channel, listener)
                raise
        try:
            async with asyncio.timeout(timeout_s):
                await confirmed.wait()
        except BaseException:
            await self.unsubscribe(channel, listener)
            raise
        return listener

    async def unsubscribe(self, channel: str, listener: Listener) -> None:
        """Stops listening; the channel is left when nobody here listens any more."""
        async with self._changes:
            if self._forget(channel, listener) and self._pubsub is not None:
                with contextlib.suppress(RedisError, OSError):
                    await self._pubsub.unsubscribe(channel)

    async def aclose(self) -> None:
        """Ends the reader and gives the connection back."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        if self._pubsub is not None:
            with contextlib.suppress(RedisError, OSError):
                await self._pubsub.aclose()
            self._pubsub = None

    def _forget(self, channel: str, listener: Listener) -> bool:
        listeners = self._listeners.get(channel, set())
        listeners.discard(listener)
        if listeners or channel not in self._listeners:
            return False
        del self._listeners[channel]
        self._confirmed.pop(channel, None)
        return True

    def _ensure_reading(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._read(), name="state-channels")

    async def _read(self) -> None:
        pause = 0.05
        while True:
            try:
                message = await self._pubsub.get_message(timeout=_IDLE_S)
                pause = 0.05
            except (RedisError, OSError) as exc:
                log.warning("state.channels_lost", error=str(exc))
                self._tell_all_lost()
                await asyncio.sleep(pause)
                pause = min(pause * 2, 1.0)
                continue
            if message is not None:
                self._dispatch(message)
            elif not self._listeners:
                await asyncio.sleep(0.01)

    def _dispatch(self, message: dict[str, Any]) -> None:
        channel = message["channel"]
        if message["type"] == "message":
            for listener in self._listeners.get(channel, ()):
                listener.put(message["data"])
        elif message["type"] == "subscribe":
            confirmed = self._confirmed.get(channel)
            if confirmed is None:
                return
            if confirmed.is_set():
                # A second confirmation is a reconnection: something may have been missed.
                for listener in self._listeners.get(channel, ()):
                    listener.put(LOST)
            confirmed.set()

    def _tell_all_lost(self) -> None:
        for listeners in self._listeners.values():
            for listener in listeners:
                listener.put(LOST)
