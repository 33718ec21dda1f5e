"""The worker: takes queued turns and runs them with the same conversation as everybody else.

A message is acknowledged after its turn is saved, so a worker that dies loses none: the broker
delivers it again and `run_turn` makes that invisible to the reader. Knows nothing of HTTP.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from contextlib import suppress

import structlog
from aio_pika.abc import AbstractIncomingMessage, AbstractQueue, ConsumerTag

from api.errors import NotFound, StateUnavailable
from api.state.broker import AWAY, PUBLISHED_MS, Broker
from api.turns.answering import Answering
from api.turns.event_log import LeaseLost
from api.turns.records import TurnRecords, decode_request
from api.turns.run import RunLimits, run_turn
from api.turns.runners.waiting import WaitingTime
from api.turns.signals import Signals

log = structlog.get_logger(__name__)
_RETRY_S = 1.0


class TurnWorker:
    """Consumes the queue of turns, at most `concurrency` at a time."""

    def __init__(
        self,
        broker: Broker,
        answering: Answering,
        turns: TurnRecords,
        signals: Signals,
        *,
        limits: RunLimits,
        concurrency: int,
        waiting: WaitingTime,
    ) -> None:
        self._broker, self._answering, self._turns = broker, answering, turns
        self._signals, self._limits, self._concurrency = signals, limits, concurrency
        self._waiting = waiting
        self._running: set[asyncio.Task[None]] = set()
        self._consumer: tuple[AbstractQueue, ConsumerTag] | None = None

    @property
    def running(self) -> int:
        """How many turns run now."""
        return len(self._running)

    async def start(self) -> None:
        """Begins to consume; the connection restores the consumer after a broker restart."""
        channel = await self._broker.connection.channel()
        await channel.set_qos(prefetch_count=self._concurrency)
        queue = await self._broker.declare(channel, "turns")
        self._consumer = (queue, await queue.consume(self._take))

    async def drain(self, timeout_s: float) -> None:
        """Takes no more, waits `timeout_s` seconds for what runs, then gives the rest back."""
        if self._consumer is not None:
            queue, tag = self._consumer
            with suppress(*AWAY):
                await queue.cancel(tag)
        if self._running:
            await asyncio.wait(set(self._running), timeout=timeout_s)
        left = list(self._running)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _take(self, message: AbstractIncomingMessage) -> None:
        task = asyncio.create_task(self._work(message), name=f"work-{message.message_id}")
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _work(self, message: AbstractIncomingMessage) -> None:
        """Runs one delivery and tells the broker what became of it."""
        try:
            await self._run(message)
        except asyncio.CancelledError:
            await _tell(message.nack(requeue=True))
            raise
        except StateUnavailable as exc:
            log.warning("turn.put_back", turn_id=message.message_id, error=str(exc))
            await asyncio.sleep(_RETRY_S)
            await _tell(message.nack(requeue=True))
        except Exception:
            # The edge of the process: a message that breaks the worker must not come back for ever.
            log.exception("turn.rejected", turn_id=message.message_id)
            await _tell(message.reject(requeue=False))
        else:
            await _tell(message.ack())

    async def _run(self, message: AbstractIncomingMessage) -> None:
        request = decode_request(message.body.decode())
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(turn_id=request.turn_id, session_id=request.session_id)
        published = message.headers.get(PUBLISHED_MS)
        if isinstance(published, int) and not message.redelivered:
            await self._waiting.tell(time.time() - published / 1000)
        try:
            await run_turn(
                request,
                answering=self._answering,
                turns=self._turns,
                signals=self._signals,
                limits=self._limits,
            )
        except (NotFound, LeaseLost) as exc:
            # Its record is gone, or another delivery of the same turn runs or ended it.
            log.info("turn.dropped", code=exc.code, error=str(exc))


async def _tell(answer: Awaitable[object]) -> None:
    """Sends an acknowledgement; when the channel is gone the broker delivers again anyway."""
    try:
        await answer
    except AWAY as exc:
        log.warning("acknowledgement_lost", error=repr(exc))
