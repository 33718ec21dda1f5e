"""A request becomes a job: recorded once, started, or found where it waits or runs. Knows no wire format."""

from __future__ import annotations

from api.errors import ApiError
from api.jobs.base import JobRunner
from api.jobs.records import JobRecords, JobView
from api.jobs.requests import JobRequest


async def begin_job(request: JobRequest, records: JobRecords, runner: JobRunner) -> JobView:
    """Starts the job, unless it runs already.

    One that waits is started again, which changes nothing unless its first start was lost: a process
    may die between the record and the queue. Raises `Overloaded`, `QueueUnavailable`.
    """
    job_id, created = await records.create(request)
    view = await records.view(job_id)
    if view.status == "queued":
        try:
            await runner.start(job_id)
        except ApiError:
            if created:
                await records.discard(job_id)
            raise
    return await records.view(job_id)
