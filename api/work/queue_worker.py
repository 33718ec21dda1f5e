"""Takes work off a queue and tells the broker what became of it, for turns and jobs alike.

A message is acknowledged after its work has ended, so a worker that dies loses none: the broker
delivers it again. Work that broke the worker, or that the broker gave up, is a dead letter.
Knows the broker; not what the work is.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from typing import ClassVar

import structlog
from aio_pika.abc import AbstractIncomingMessage, AbstractQueue, ConsumerTag

from api.errors import NotFound, StateUnavailable
from api.state.broker import AWAY, Broker, Work
from api.work.kinds import LeaseLost

log = structlog.get_logger(__name__)
_RETRY_S = 1.0


class QueueWorker(ABC):
    """Consumes one queue, at most `concurrency` messages at a time.

    RabbitMQ takes a message back that is not acknowledged for half an hour. The second delivery then
    waits for the end of the first, which holds the lease, and does nothing.
    """

    queue: ClassVar[Work]

    def __init__(self, broker: Broker, *, concurrency: int) -> None:
        self._broker, self._concurrency = broker, concurrency
        self._running: set[asyncio.Task[None]] = set()
        self._consumer: tuple[AbstractQueue, ConsumerTag] | None = None

    @abstractmethod
    async def run(self, message: AbstractIncomingMessage) -> None:
        """Does the work to its end. Cancelling gives it back, unfinished, for another run."""

    @property
    def running(self) -> int:
        """How many messages are worked on now."""
        return len(self._running)

    @asynccontextmanager
    async def consuming(self, *, drain_s: float) -> AsyncIterator[None]:
        """Consumes for as long as the context is open, then drains."""
        await self.start()
        try:
            yield
        finally:
            await self.drain(drain_s)

    async def start(self) -> None:
        """Begins to consume; the connection restores the consumer after a broker restart."""
        channel = await self._broker.connection.channel()
        await channel.set_qos(prefetch_count=self._concurrency)
        queue = await self._broker.declare(channel, self.queue)
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
        work_id = message.message_id
        try:
            await self.run(message)
        except asyncio.CancelledError:
            await _tell(message.nack(requeue=True))
            raise
        except StateUnavailable as exc:
            log.warning("work.put_back", queue=self.queue, id=work_id, error=str(exc))
            await asyncio.sleep(_RETRY_S)
            await _tell(message.nack(requeue=True))
        except (NotFound, LeaseLost) as exc:
            # Its record is gone, or another delivery of the same work runs or ended it.
            log.info("work.dropped", queue=self.queue, id=work_id, code=exc.code, error=str(exc))
            await _tell(message.ack())
        except Exception:
            # The edge of the process: a message that breaks the worker must not come back for ever.
            log.exception("work.rejected", queue=self.queue, id=work_id)
            await _tell(message.reject(requeue=False))
        else:
            await _tell(message.ack())


async def _tell(answer: Awaitable[object]) -> None:
    """Sends an acknowledgement; when the channel is gone the broker delivers again anyway."""
    try:
        await answer
    except AWAY as exc:
        log.warning("acknowledgement_lost", error=repr(exc))
