"""Jobs through the queue: published here, run by workers, one at a time in each.

Knows the broker and the records, not what jobs do.
"""

from __future__ import annotations

from aio_pika.abc import AbstractIncomingMessage

from api.jobs.records import JobRecords
from api.jobs.runner import run_job
from api.state.broker import Broker
from api.work.queue_worker import QueueWorker


class QueuedJobs:
    """Starts a job by publishing its id."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def start(self, job_id: str) -> None:
        """Returns when the broker holds the order safely. Raises `Overloaded`, `QueueUnavailable`."""
        await self._broker.publish("jobs", job_id.encode(), message_id=job_id)


class JobWorker(QueueWorker):
    """Consumes the queue of jobs, one at a time."""

    queue = "jobs"

    def __init__(self, broker: Broker, records: JobRecords) -> None:
        super().__init__(broker, concurrency=1)
        self._records = records

    async def run(self, message: AbstractIncomingMessage) -> None:
        """Runs the job of the message."""
        await run_job(message.body.decode(errors="replace"), self._records)
