"""Jobs through the queue: published here, run by workers, one at a time in each.

Knows the broker and the records, not what jobs do.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog
from aio_pika.abc import AbstractIncomingMessage

from api.errors import NotFound, StateUnavailable
from api.jobs.records import JobLost, JobRecords
from api.jobs.runner import run_job
from api.state.broker import AWAY, Broker

log = structlog.get_logger(__name__)
_RETRY_S = 1.0


class QueuedJobs:
    """Starts a job by publishing its id."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def start(self, job_id: str) -> None:
        """Returns when the broker holds the order safely. Raises `Overloaded`, `QueueUnavailable`."""
        await self._broker.publish("jobs", job_id.encode(), message_id=job_id)


@asynccontextmanager
async def consume_jobs(broker: Broker, records: JobRecords) -> AsyncIterator[None]:
    """Takes jobs, one at a time, for as long as the context is open; one that runs is given back."""
    channel = await broker.connection.channel()
    await channel.set_qos(prefetch_count=1)
    queue = await broker.declare(channel, "jobs")
    running: set[asyncio.Task[None]] = set()

    async def take(message: AbstractIncomingMessage) -> None:
        task = asyncio.create_task(_work(message, records), name=f"job-{message.message_id}")
        running.add(task)
        task.add_done_callback(running.discard)

    tag = await queue.consume(take)
    try:
        yield
    finally:
        with suppress(*AWAY):
            await queue.cancel(tag)
        left = list(running)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


async def _work(message: AbstractIncomingMessage, records: JobRecords) -> None:
    """Runs one delivery and tells the broker what became of it.

    RabbitMQ takes a message back that is not acknowledged for half an hour. The second delivery
    of a longer job then waits for the end of the first, as its lease is held, and does nothing.
    """
    job_id = message.body.decode(errors="replace")
    try:
        await run_job(job_id, records)
    except asyncio.CancelledError:
        with suppress(*AWAY):
            await message.nack(requeue=True)
        raise
    except StateUnavailable as exc:
        log.warning("job.put_back", job_id=job_id, error=str(exc))
        await asyncio.sleep(_RETRY_S)
        with suppress(*AWAY):
            await message.nack(requeue=True)
        return
    except (NotFound, JobLost) as exc:
        log.info("job.dropped", job_id=job_id, error=str(exc))
    except Exception:
        # The edge of the process: an order that breaks the worker must not come back for ever.
        log.exception("job.rejected", job_id=job_id)
        with suppress(*AWAY):
            await message.reject(requeue=False)
        return
    with suppress(*AWAY):
        await message.ack()
