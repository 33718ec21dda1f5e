"""Jobs in the state store: what was asked, how far it is, how it ended.

Records, lease and progress are those of all long work; a job is special in its id, a digest of
the request, so that what already waits or runs is not begun a second time.
Knows nothing of what jobs do.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from datetime import UTC, datetime
from typing import Any, Literal, cast

from pydantic import BaseModel

from api.jobs.requests import JOB_REQUEST, JobRequest
from api.state.connection import State
from api.work.event_log import EventLog
from api.work.kinds import WorkKind
from api.work.records import WorkRecords

Status = Literal["queued", "running", "completed", "failed", "cancelled"]
# `step`, `done` and `total`; the last one `result`, `error` or `cancelled`.
JobEvent = dict[str, Any]
_ENDS: dict[str, Status] = {"result": "completed", "error": "failed", "cancelled": "cancelled"}
# Twice a second and step; a follower needs where the job stands, not every step of an hour.
_MOST_EVENTS = 1000


def _status_after(event: JobEvent) -> str:
    return next((status for field, status in _ENDS.items() if field in event), "")


def _encode(event: JobEvent) -> str:
    return json.dumps(event, ensure_ascii=False)


# Not `job`: records of 0.1.0 have other fields, and lie there until they expire.
JOBS: WorkKind[JobEvent] = WorkKind("long-job", "작업", _encode, json.loads, _status_after)


class JobView(BaseModel):
    """A job as it stands.

    Attributes:
        progress: the newest event's data: step, done and total, then the result or the error.
        attempts: how often it was begun; above 1 after a crash.
    """

    job_id: str
    kind: str
    request: JobRequest
    status: Status
    attempts: int = 0
    progress: dict[str, Any] = {}
    created_at: datetime
    ended_at: datetime | None = None


class JobRecords(WorkRecords[JobEvent]):
    """Job records in the state store."""

    def __init__(self, state: State, *, ttl_s: int = 7 * 86_400, lease_s: float = 15.0) -> None:
        """Records live `ttl_s` seconds; a silent runner keeps its job for `lease_s`."""
        log = EventLog(state, JOBS, ttl_s=ttl_s, most_events=_MOST_EVENTS, on_end=self._close)
        super().__init__(state, log, ttl_s=ttl_s, lease_s=lease_s, patience_s=0.0)

    async def create(self, request: JobRequest) -> tuple[str, bool]:
        """The id of the job, and whether it is new: what already waits or runs is not begun twice."""
        text = request.model_dump_json()
        job_id = f"j_{hashlib.sha256(text.encode()).hexdigest()[:24]}"
        # Listed first: what is listed without a record is dropped, what is recorded must be found.
        await self._state.call(self._state.redis.zadd(self._open, {job_id: time.time()}, nx=True))
        created = await self.record_begun(job_id, {"request": text}, nonce=secrets.token_hex(8))
        return job_id, bool(created)

    async def discard(self, job_id: str) -> None:
        """Forgets a job that could not be started."""
        await self.forget(job_id)
        await self._close(job_id)

    async def view(self, job_id: str) -> JobView:
        """The job as it stands. Raises `NotFound`."""
        record = await self.record(job_id)
        request = JOB_REQUEST.validate_json(record["request"])
        newest = await self.log.read(job_id, int(record["last"]) - 1)
        return JobView(
            job_id=job_id,
            kind=request.kind,
            request=request,
            status=cast("Status", record["status"]),
            attempts=int(record.get("attempts", 0)),
            progress=newest[-1][1] if newest else {},
            created_at=_moment(record["begun_ms"]),
            ended_at=_moment(record["ended_ms"]) if "ended_ms" in record else None,
        )

    async def unfinished(self) -> list[str]:
        """Ids of jobs that have not ended, oldest first."""
        ids: Any = await self._state.call(self._state.redis.zrange(self._open, 0, -1))
        return list(ids)

    async def cancel(self, job_id: str) -> None:
        """Asks the job to end; one that has ended stays as it is. Raises `NotFound`."""
        await self.record(job_id)
        await self.stop(job_id)

    async def _close(self, job_id: str) -> None:
        await self._state.call(self._state.redis.zrem(self._open, job_id))

    @property
    def _open(self) -> str:
        return f"{self._state.prefix}jobs-open"


def _moment(ms: str) -> datetime:
    return datetime.fromtimestamp(int(ms) / 1000, UTC)
