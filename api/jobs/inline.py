"""Runs jobs from this process, one after the other. Knows nothing of what they do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from api.errors import ApiError, NotFound, Overloaded
from api.jobs.records import JobRecords
from api.jobs.runner import run_job
from api.work.background import background

log = structlog.get_logger(__name__)
_MOST_WAITING = 100


class InlineJobs:
    """A queue in memory; what a crash left behind is begun again by `open_inline_jobs`."""

    def __init__(self, records: JobRecords) -> None:
        self._records = records
        self._waiting: asyncio.Queue[str] = asyncio.Queue()

    async def start(self, job_id: str) -> None:
        """Queues the job behind those that wait. Raises `Overloaded` when they are too many."""
        if self._waiting.qsize() >= _MOST_WAITING:
            raise Overloaded(
                "대기 중인 작업이 많습니다. 끝난 뒤에 다시 시도해 주세요.",
                english=f"{_MOST_WAITING} jobs wait already",
                retry_after=60,
            )
        self._waiting.put_nowait(job_id)

    async def work(self) -> None:
        """Takes up unfinished jobs, then runs what comes, for ever."""
        try:
            for job_id in await self._records.unfinished():
                await self.start(job_id)
        except ApiError as exc:
            log.warning("jobs.not_resumed", error=str(exc))
        while True:
            job_id = await self._waiting.get()
            try:
                await run_job(job_id, self._records)
            except NotFound:
                # Recorded halfway, or expired while it waited.
                await self._records.discard(job_id)
            except ApiError as exc:
                log.warning("job.given_up", job_id=job_id, error=str(exc))
            except Exception:
                # The edge of the process: one job's fault must not end the others.
                log.exception("job.run_failed", job_id=job_id)


@asynccontextmanager
async def open_inline_jobs(records: JobRecords) -> AsyncIterator[InlineJobs]:
    """Runs jobs for as long as the context is open; one that still runs is given back."""
    jobs = InlineJobs(records)
    async with background(jobs.work(), name="jobs"):
        yield jobs
