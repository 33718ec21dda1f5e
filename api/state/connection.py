"""The state store by URL alone: an embedded Valkey, or a Redis/Valkey server or cluster.

    embedded://                     a Valkey of our own below the data folder
    redis://  rediss://  unix://    a server
    redis+cluster://host:port       a cluster (keys of one session or turn share a hash tag)

Translates the client's exceptions into `StateUnavailable`. Knows nothing of what is stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import quote

from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError

from api.state.away import AWAY, translated
from api.state.breaker import Breaker
from api.state.channels import Channels
from api.state.embedded import Fsync, embedded_valkey
from api.state.script_batches import Script, ScriptBatcher

T = TypeVar("T")
CALL_S = 3.0


@dataclass(slots=True)
class State:
    """An open connection to the state store.

    Attributes:
        redis: the client (RESP3, text answers). Call it inside `guard()` or through `call()`.
        prefix: in front of every key and channel.
        breaker: fails calls fast while the store is away.
        channels: the process's one publish/subscribe connection.
        batcher: batches the calls of scripts.
    """

    redis: Redis
    prefix: str = "smartstore:"
    breaker: Breaker = field(default_factory=Breaker)
    channels: Channels = field(init=False)
    batcher: ScriptBatcher = field(init=False)

    def __post_init__(self) -> None:
        self.channels = Channels(self.redis)
        self.batcher = ScriptBatcher(self)

    def key(self, kind: str, tag: str, part: str = "") -> str:
        """A key; all keys with the same `tag` live on the same node of a cluster."""
        return f"{self.prefix}{kind}:{{{tag}}}" + (f":{part}" if part else "")

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Wraps calls of `redis`; raises `StateUnavailable` when the store is away."""
        started = self.breaker.enter()
        try:
            yield
        except AWAY as exc:
            self.breaker.failed()
            raise translated(exc) from exc
        self.breaker.succeeded(started)

    async def call(self, command: Awaitable[T]) -> T:
        """One call under `guard`, given up after `CALL_S` seconds."""
        task = asyncio.current_task()
        asked_before = task.cancelling() if task else 0
        try:
            with self.guard():
                async with asyncio.timeout(CALL_S):
                    answer = await command
            # The client sends through asyncio.wait_for, which before Python 3.12 loses a
            # cancellation that comes when the sending is already done (bpo-37658).
            if task and task.cancelling() > asked_before:
                raise asyncio.CancelledError
            return answer
        finally:
            if asyncio.iscoroutine(command):
                command.close()

    def script(self, source: str) -> Script:
        """A Lua script to call with keys of one tag."""
        return Script(self, source)

    async def ping(self) -> None:
        """Asks for a sign of life; raises `StateUnavailable`."""
        await self.call(cast("Awaitable[Any]", self.redis.ping()))


@asynccontextmanager
async def open_state(
    url: str, *, data_dir: Path, prefix: str = "smartstore:", fsync: Fsync = "no"
) -> AsyncIterator[State]:
    """Opens the state store; the embedded one is started, or joined if it already runs.

    A server that is away does not fail here: calls raise `StateUnavailable` until it is back.

    Raises:
        EmbeddedStateError: the embedded Valkey cannot run on `data_dir`.
        ValueError: an unknown URL scheme.
    """
    if url.startswith("embedded://"):
        async with (
            embedded_valkey(data_dir, fsync=fsync) as path,
            _open(f"unix://{quote(str(path))}", prefix) as state,
        ):
            yield state
    else:
        async with _open(url, prefix) as state:
            yield state


@asynccontextmanager
async def _open(url: str, prefix: str) -> AsyncIterator[State]:
    state = State(_client(url), prefix)
    try:
        yield state
    finally:
        await state.channels.aclose()
        await state.redis.aclose()


def _client(url: str) -> Redis:
    scheme = url.partition("://")[0]
    options: dict[str, Any] = {
        "decode_responses": True,
        "protocol": 3,
        "socket_timeout": 2.0,
        "socket_connect_timeout": 2.0,
        "health_check_interval": 15,
    }
    # One immediate second try hides a connection that the server closed while it lay idle.
    # A timeout is not tried again: that would only double the wait.
    retry = Retry(NoBackoff(), 1, supported_errors=(ConnectionError,))
    match scheme:
        case "redis" | "rediss" | "unix":
            options |= {"max_connections": 32, "timeout": 2.0, "retry": retry}
            pool = BlockingConnectionPool.from_url(url, **options)
            return Redis.from_pool(pool)
        case "redis+cluster" | "rediss+cluster":
            plain = url.replace("+cluster", "", 1)
            return cast("Redis", RedisCluster.from_url(plain, max_connections=32, **options))
        case _:
            valid = "embedded, redis, rediss, unix, redis+cluster, rediss+cluster"
            raise ValueError(f"unknown state URL scheme {scheme!r}; valid: {valid}")
