"""Keeps the gauges of the queues current: how many messages wait, and how long. Knows nothing of turns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from api.errors import QueueUnavailable
from api.observability.metrics import Metrics
from api.state.broker import WORK, Broker
from api.turns.runners.waiting import WaitingTime
from api.work.background import background

_EVERY_S = 5.0


@asynccontextmanager
async def watch_queues(broker: Broker, waiting: WaitingTime, metrics: Metrics) -> AsyncIterator[None]:
    """Looks at the queues every few seconds for as long as the context is open."""
    async with background(_watch(broker, waiting, metrics), name="queue-watch"):
        yield


async def _watch(broker: Broker, waiting: WaitingTime, metrics: Metrics) -> None:
    while True:
        for work in WORK:
            with suppress(QueueUnavailable):
                metrics.queue_depth.labels(work).set(await broker.depth(work))
        metrics.queue_age.set(await waiting.seconds())
        await asyncio.sleep(_EVERY_S)
