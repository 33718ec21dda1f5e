"""The servers that run one provider's model: which of them gets a request, and how each is doing.

A session goes to the same server, whose prefix cache holds its conversation, as long as that one answers and
has room; one that failed is left to the others. Knows neither prompts nor what an answer is.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import blake2b

from api.errors import ProviderError, ProviderRejected
from api.providers.breaker import BreakerOpen, CircuitBreaker
from api.providers.openai.pool import Upstream
from api.providers.stats import Outcome

# Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam 2018): no server takes more than this
# times its even share; what is above goes to the session's next choice. 1.25 is the paper's middle way
# between a conversation that stays and loads that are alike.
_ROOM = 1.25
# A server batches so few at once anyhow: a quiet one is never "full" because the others do nothing.
_FEW = 4
# Others first, for so long after a failure: by then the breaker has heard of it.
_AVOID_S = 2.0
_PROBE_S = 2.0


@dataclass(eq=False, slots=True)
class Server:
    """One server of a provider.

    Attributes:
        pool: open connections to it.
        key: what its breaker and its probe are called.
        outstanding: requests of this process that it has not answered to the end.
        counts: requests of this process by how they ended.
    """

    pool: Upstream
    key: str
    outstanding: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    failed_at: float = -math.inf
    rests_until: float = 0.0

    @property
    def address(self) -> str:
        """Its base URL."""
        return self.pool.address

    @property
    def rests(self) -> bool:
        """Its breaker was open when this process last looked."""
        return time.monotonic() < self.rests_until

    @property
    def failed_lately(self) -> bool:
        """It failed within the last two seconds."""
        return time.monotonic() - self.failed_at < _AVOID_S


@dataclass(slots=True)
class Lease:
    """One request at one server.

    Attributes:
        server: which.
        outcome: how it ended; `answered` is said by who reads the answer, a `ProviderError` says the others.
        began: something of the answer has come.
        unreached: no connection was made; what was asked cannot run there.
    """

    server: Server
    outcome: Outcome = "left"
    began: bool = False
    unreached: bool = False


class Upstreams:
    """Spreads a provider's requests over its servers.

    Args:
        name: the provider.
        pools: connections to each server.
        breaker: leaves servers alone that keep failing, for every process; None with a single server,
            whose breaker is the provider's own.
    """

    def __init__(
        self, name: str, pools: Sequence[Upstream], *, breaker: CircuitBreaker | None = None
    ) -> None:
        self.name, self.breaker = name, breaker
        self.servers = tuple(
            Server(pool, f"{name} {pool.address}" if len(pools) > 1 else name) for pool in pools
        )

    @property
    def several(self) -> bool:
        """There is another server to go to."""
        return len(self.servers) > 1

    def others(self, tried: Collection[Server]) -> bool:
        """A server that has not been tried may answer."""
        return any(server not in tried and not server.rests for server in self.servers)

    @asynccontextmanager
    async def lease(
        self, session: str | None = None, *, tried: Collection[Server] = ()
    ) -> AsyncIterator[Lease]:
        """A server for one request, of those not `tried`; its breaker hears what came of it.

        Raises `BreakerOpen` where all of them are being left alone.
        """
        server = await self._choose(session, tried)
        lease = Lease(server)
        try:
            yield lease
        except ProviderError as exc:
            lease.outcome = "rejected" if isinstance(exc, ProviderRejected) else "failed"
            lease.unreached = not exc.sent
            if lease.unreached and server.outstanding > server.pool.max_connections:
                # It waited for one of our own connections: says nothing of the server.
                lease.outcome = "left"
            raise
        finally:
            server.outstanding -= 1
            server.counts[lease.outcome] += 1
            if self.several:
                await self._settle(lease)

    async def began(self, lease: Lease) -> None:
        """Something of the answer has come: its server is well again, however long the rest may take."""
        lease.began = True
        lease.server.failed_at = -math.inf
        if self.several and self.breaker is not None:
            await self.breaker.succeeded(lease.server.key)

    async def _choose(self, session: str | None, tried: Collection[Server]) -> Server:
        """The server that gets the request; it counts as outstanding from here on."""
        for server in self._order(session, tried) if self.several else self.servers:
            # Before the breaker is asked: in a rush, those that wait for it would count nowhere.
            server.outstanding += 1
            admitted = False
            try:
                admitted = await self._admits(server)
            finally:
                server.outstanding -= not admitted
            if admitted:
                return server
        waits = [server.rests_until - time.monotonic() for server in self.servers]
        message = f"'{self.name}'의 서버가 모두 여러 번 실패해 잠시 쉬고 있습니다."
        english = "each of its servers failed several times and is left alone for a while"
        raise BreakerOpen(self.name, message, english=english, retry_after=max(min(waits), 0.1))

    def _order(self, session: str | None, tried: Collection[Server]) -> list[Server]:
        """The servers to ask, best first."""
        servers = [server for server in self.servers if server not in tried and not server.rests]
        random.shuffle(servers)
        if session is None:
            servers.sort(key=lambda server: server.outstanding)
        else:
            share = (sum(server.outstanding for server in servers) + 1) / max(len(servers), 1)
            room = max(_FEW, math.ceil(_ROOM * share))
            servers.sort(key=lambda server: (server.outstanding >= room, _distance(session, server.address)))
        servers.sort(key=lambda server: server.failed_lately)
        return servers

    async def _admits(self, server: Server) -> bool:
        """Whether its breaker lets a request through. One that had been open asks for the models first."""
        if self.breaker is None:
            return True
        try:
            reading = await self.breaker.enter(server.key)
        except BreakerOpen as exc:
            server.rests_until = time.monotonic() + (exc.retry_after or 0.0)
            return False
        if reading.position == "half_open" and not await _answers(server.pool):
            await self._failed(server)
            return False
        return True

    async def _settle(self, lease: Lease) -> None:
        server, breaker = lease.server, self.breaker
        if lease.outcome == "failed":
            await self._failed(server, at_once=lease.unreached)
        elif not lease.began and breaker is not None:
            await breaker.left(server.key)

    async def _failed(self, server: Server, *, at_once: bool = False) -> None:
        server.failed_at = time.monotonic()
        if self.breaker is not None and (rest_s := await self.breaker.failed(server.key, at_once=at_once)):
            server.rests_until = time.monotonic() + rest_s


def _distance(session: str, address: str) -> bytes:
    """Where a server stands for a session: rendezvous hashing (Thaler, Ravishankar 1998), nearest first."""
    return blake2b(f"{session}\n{address}".encode(), digest_size=8).digest()


async def _answers(pool: Upstream) -> bool:
    """The server tells its models: no seller's turn is risked on one that does not."""
    try:
        async with asyncio.timeout(_PROBE_S):
            with await pool.send("GET", "/models") as response:
                return response.status < 500
    except (TimeoutError, ProviderError):
        return False
