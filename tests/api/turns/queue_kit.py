"""Runners and workers on a real RabbitMQ, for tests; as a command, one worker to be killed.

python -m tests.api.turns.queue_kit STATE_URL STATE_PREFIX AMQP_URL QUEUE_PREFIX
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from api.state.broker import WORK, Broker, open_broker
from api.state.connection import State, open_state
from api.turns.answering import Answering, Observer
from api.turns.run import RunLimits
from api.turns.runners.queued import QueuedRunner
from api.turns.runners.waiting import WaitingTime
from api.turns.runners.worker import TurnWorker
from tests.api.turns.turn_kit import Process, ScriptedConversation, process

AMQP = "amqp://guest:guest@127.0.0.1:5672/"
QUEUE = {"max_length": 3, "max_deliveries": 3}


@asynccontextmanager
async def worker(
    state: State,
    broker: Broker,
    conversation: Any,
    *,
    concurrency: int = 8,
    lease_s: float = 0.6,
    observers: tuple[Observer, ...] = (),
) -> AsyncIterator[TurnWorker]:
    """A worker with records and signals of its own, as in another process."""
    async with process(state, conversation, lease_s=lease_s, patience_s=20.0) as back:
        running = TurnWorker(
            broker,
            Answering(conversation, observers=observers),
            back.turns,
            back.signals,
            limits=RunLimits(),
            concurrency=concurrency,
            waiting=WaitingTime(state, limit_s=0),
        )
        async with running.consuming(drain_s=0.0):
            yield running


@asynccontextmanager
async def front(state: State, broker: Broker, *, max_wait_s: float = 0.0) -> AsyncIterator[Process]:
    """An API process that queues its turns."""
    async with process(state, patience_s=20.0) as api:
        yield replace(api, runner=QueuedRunner(api.turns, broker, WaitingTime(state, limit_s=max_wait_s)))


@asynccontextmanager
async def runner(
    kind: str, state: State, broker: Broker, conversation: ScriptedConversation
) -> AsyncIterator[Process]:
    """An API process whose turns are run by `conversation`, inline or by a worker."""
    if kind == "inline":
        async with process(state, conversation) as api:
            yield api
    else:
        async with worker(state, broker, conversation), front(state, broker) as api:
            yield api


async def delete_queues(broker: Broker) -> None:
    """Removes the queues of a test."""
    async with broker.connection.channel() as channel:
        for work in WORK:
            for dead in (False, True):
                await channel.queue_delete(broker.queue_name(work, dead=dead))


async def _main(state_url: str, state_prefix: str, amqp: str, queue_prefix: str) -> None:
    slow = ScriptedConversation(pause_s=0.4)
    async with (
        open_state(state_url, data_dir=Path("unused"), prefix=state_prefix) as state,
        open_broker(amqp, prefix=queue_prefix, **QUEUE) as broker,
        worker(state, broker, slow),
    ):
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
