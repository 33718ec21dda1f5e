"""RabbitMQ: durable quorum queues with confirmed publishing, bounded length and dead letters.

Two queues, `<prefix>.turns` (somebody waits) and `<prefix>.jobs` (nobody does): quorum queues
had no priorities before RabbitMQ 4.0, so what is urgent gets a queue and consumers of its own.
A message rejected, or delivered too often, moves to `<queue>.dead`.
Plain aio-pika instead of a task framework: the queue arguments, the confirm and the moment of
the acknowledgement are the contract here, and a framework would hide all three.
Knows bytes and queues, not turns or jobs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import aio_pika
import structlog
from aio_pika.abc import AbstractChannel, AbstractQueue, AbstractRobustConnection
from aio_pika.exceptions import AMQPError, ChannelInvalidStateError, DeliveryError, PublishError
from aiormq.exceptions import ChannelPreconditionFailed

from api.errors import Overloaded, QueueUnavailable

log = structlog.get_logger(__name__)
Work = Literal["turns", "jobs"]
WORK: tuple[Work, ...] = ("turns", "jobs")
AWAY = (AMQPError, ChannelInvalidStateError, ConnectionError, TimeoutError, RuntimeError, OSError)
PUBLISHED_MS = "published-ms"
_CONFIRM_S = 3.0
_PAUSE_S = 0.25
_AWAY_MESSAGE = "대기열에 연결할 수 없습니다. 잠시 후 다시 시도해 주세요."
_FULL_MESSAGE = "지금은 대기 중인 질문이 많습니다. 잠시 후 다시 시도해 주세요."


class Broker:
    """One connection to RabbitMQ, reconnecting by itself.

    Args:
        connection: open or connecting.
        prefix: in front of every queue's name.
        max_length: messages a queue holds; more are refused.
        max_deliveries: after it a message is dead.
        away_s: how long publishing is retried while the broker is away, in seconds.
    """

    def __init__(
        self,
        connection: AbstractRobustConnection,
        *,
        prefix: str = "smartstore",
        max_length: int = 1000,
        max_deliveries: int = 5,
        away_s: float = 10.0,
    ) -> None:
        self.connection = connection
        self._prefix, self._max_length, self._max_deliveries = prefix, max_length, max_deliveries
        self._away_s = away_s
        self._publishing: AbstractChannel | None = None
        self._opening = asyncio.Lock()

    def queue_name(self, work: Work, *, dead: bool = False) -> str:
        """The queue of this kind of work, or of its dead letters."""
        return f"{self._prefix}.{work}" + (".dead" if dead else "")

    async def declare(self, channel: AbstractChannel, work: Work) -> AbstractQueue:
        """The work's queue, with its dead letters behind it."""
        name, dead = self.queue_name(work), self.queue_name(work, dead=True)
        kept = {"x-queue-type": "quorum", "x-max-length": 10 * self._max_length}
        arguments = {
            "x-queue-type": "quorum",
            "x-max-length": self._max_length,
            "x-overflow": "reject-publish",
            "x-delivery-limit": self._max_deliveries,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": dead,
            "x-dead-letter-strategy": "at-least-once",
        }
        try:
            await channel.declare_queue(dead, durable=True, arguments=kept)
            return await channel.declare_queue(name, durable=True, arguments=arguments)
        except ChannelPreconditionFailed as exc:
            raise QueueUnavailable(
                f"대기열 {name}이(가) 다른 설정으로 이미 있습니다. 삭제하거나 queue.prefix를 바꿔 주세요.",
                english=f"the queue {name} exists with other settings; delete it, or change queue.prefix",
            ) from exc

    async def publish(self, work: Work, body: bytes, *, message_id: str) -> None:
        """Hands a message over; returns when the broker has confirmed it on a majority.

        May deliver twice when a confirm is lost: consumers go by `message_id`.

        Raises:
            Overloaded: the queue is full.
            QueueUnavailable: the broker stayed away longer than `away_s`.
        """
        message = aio_pika.Message(
            body,
            message_id=message_id,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            headers={PUBLISHED_MS: int(time.time() * 1000)},
        )
        deadline = time.monotonic() + self._away_s
        while True:
            try:
                channel = await self._channel()
                await channel.default_exchange.publish(
                    message, routing_key=self.queue_name(work), timeout=_CONFIRM_S
                )
                return
            except AWAY as exc:
                # A returned message (PublishError) had no queue to go to: it is declared again.
                if isinstance(exc, DeliveryError) and not isinstance(exc, PublishError):
                    raise Overloaded(_FULL_MESSAGE, english="the queue is full", retry_after=5) from exc
                self._publishing = None
                if time.monotonic() > deadline:
                    raise QueueUnavailable(_AWAY_MESSAGE, retry_after=3) from exc
                log.warning("publish_retried", queue=self.queue_name(work), error=repr(exc))
                await asyncio.sleep(_PAUSE_S)

    async def depth(self, work: Work, *, dead: bool = False) -> int:
        """Messages that wait. Raises `QueueUnavailable`."""
        try:
            async with self.connection.channel() as channel:
                queue = await channel.declare_queue(self.queue_name(work, dead=dead), passive=True)
                return queue.declaration_result.message_count or 0
        except AWAY as exc:
            raise QueueUnavailable(_AWAY_MESSAGE, retry_after=3) from exc

    async def dead_letters(self, work: Work, *, retry: bool) -> list[str]:
        """Ids of the dead messages, oldest first; `retry` puts them back into their queue."""
        ids: list[str] = []
        async with self.connection.channel() as channel:
            await self.declare(channel, work)
            queue = await channel.get_queue(self.queue_name(work, dead=True))
            waiting = queue.declaration_result.message_count or 0
            held = []
            for _ in range(waiting):
                if (message := await queue.get(fail=False)) is None:
                    break
                ids.append(message.message_id or "")
                if retry:
                    await self.publish(work, message.body, message_id=message.message_id or "")
                    await message.ack()
                else:
                    held.append(message)
            for message in held:
                await message.reject(requeue=True)
        return ids

    async def _channel(self) -> AbstractChannel:
        async with self._opening:
            if self._publishing is None or self._publishing.is_closed:
                channel = await asyncio.wait_for(
                    self.connection.channel(publisher_confirms=True, on_return_raises=True), _CONFIRM_S
                )
                for work in WORK:
                    await self.declare(channel, work)
                self._publishing = channel
            return self._publishing


@asynccontextmanager
async def open_broker(
    url: str, *, prefix: str = "smartstore", max_length: int = 1000, max_deliveries: int = 5
) -> AsyncIterator[Broker]:
    """Connects to RabbitMQ and declares the queues.

    Raises:
        QueueUnavailable: nothing answers at the URL.
    """
    try:
        connection = await aio_pika.connect_robust(url, timeout=10, reconnect_interval=0.5, heartbeat=20)
    except AWAY as exc:
        raise QueueUnavailable(
            f"RabbitMQ에 연결할 수 없습니다 ({exc}). SMARTSTORE_QUEUE__URL을 확인해 주세요.",
            english=f"RabbitMQ cannot be reached ({exc}); check SMARTSTORE_QUEUE__URL",
        ) from exc
    broker = Broker(connection, prefix=prefix, max_length=max_length, max_deliveries=max_deliveries)
    try:
        async with connection.channel() as channel:
            for work in WORK:
                await broker.declare(channel, work)
        yield broker
    finally:
        await connection.close()
