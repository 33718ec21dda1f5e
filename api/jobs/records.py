"""Jobs in the state store: what was asked, how far it is, who runs it, how it ended.

A run claims a job with a token and keeps a lease, so a message delivered twice never runs a
job twice at the same time, and a job whose runner died can be taken over. Each step of the
progress is a numbered event that can be replayed.
Knows nothing of what jobs do.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any, Literal, cast

from pydantic import BaseModel

from api.errors import NotFound
from api.jobs.requests import JOB_REQUEST, JobRequest
from api.state.connection import State

Status = Literal["queued", "running", "completed", "failed", "cancelled"]
ENDED: tuple[Status, ...] = ("completed", "failed", "cancelled")
_LOOK_S = 0.5
_MOST_EVENTS = 1000

# Creates the job unless one that has not ended does the same. KEYS: job. ARGV: request, ttl, now.
_CREATE = """
local status = redis.call('HGET', KEYS[1], 'status')
if status == 'queued' or status == 'running' then return 0 end
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('HSET', KEYS[1], 'request', ARGV[1], 'status', 'queued', 'created_at', ARGV[3], 'attempts', 0,
  'token', '', 'lease_until', 0, 'last', 0)
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 1
"""
_NOW = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
"""
# ARGV: token, lease ms. Returns {-1 unknown | 0 ended | 1 claimed | 2 held, ms left}.
_CLAIM = (
    _NOW
    + """
local rec = redis.call('HMGET', KEYS[1], 'status', 'token', 'lease_until')
if not rec[1] then return {-1, 0} end
if rec[1] ~= 'queued' and rec[1] ~= 'running' then return {0, 0} end
local held = tonumber(rec[3])
if rec[2] ~= '' and rec[2] ~= ARGV[1] and now <= held then return {2, held - now} end
redis.call('HSET', KEYS[1], 'token', ARGV[1], 'lease_until', now + ARGV[2], 'status', 'running')
redis.call('HINCRBY', KEYS[1], 'attempts', 1)
return {1, 0}
"""
)
# ARGV: token, lease ms. Returns -1 lost, 0, or 1 when the job shall be cancelled.
_RENEW = (
    _NOW
    + """
local rec = redis.call('HMGET', KEYS[1], 'token', 'status', 'cancel')
if rec[1] ~= ARGV[1] or rec[2] ~= 'running' then return -1 end
redis.call('HSET', KEYS[1], 'lease_until', now + ARGV[2])
return tonumber(rec[3] or 0)
"""
)
# ARGV: token, most events, status ('' to leave it), now, event. Returns its number, 0 when fenced off.
_APPEND = """
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
local n = redis.call('HINCRBY', KEYS[1], 'last', 1)
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[2], n .. '-0', 'e', ARGV[5])
redis.call('EXPIRE', KEYS[2], redis.call('TTL', KEYS[1]))
redis.call('HSET', KEYS[1], 'progress', ARGV[5])
if ARGV[3] ~= '' then
  redis.call('HSET', KEYS[1], 'status', ARGV[3], 'token', '', 'lease_until', 0)
  if ARGV[3] ~= 'queued' then redis.call('HSET', KEYS[1], 'ended_at', ARGV[4]) end
end
return n
"""
_CANCEL = """
local status = redis.call('HGET', KEYS[1], 'status')
if status == 'queued' or status == 'running' then redis.call('HSET', KEYS[1], 'cancel', 1) end
return status
"""


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


class JobLost(Exception):
    """Another run has taken the job over, or it ended."""


class JobRecords:
    """Job records in the state store."""

    def __init__(self, state: State, *, ttl_s: int = 7 * 86_400, lease_s: float = 15.0) -> None:
        """Records live `ttl_s` seconds; a silent runner keeps its job for `lease_s`."""
        self._state, self._ttl_s, self.lease_s = state, ttl_s, lease_s
        register = state.script
        self._create, self._claim, self._renew = register(_CREATE), register(_CLAIM), register(_RENEW)
        self._append, self._cancel = register(_APPEND), register(_CANCEL)

    async def create(self, request: JobRequest) -> tuple[str, bool]:
        """The id of the job, and whether it is new: what already waits or runs is not begun twice."""
        text = request.model_dump_json()
        job_id = f"j_{hashlib.sha256(text.encode()).hexdigest()[:24]}"
        moment = datetime.now(UTC).isoformat()
        created = await self._create(keys=self._keys(job_id), args=[text, self._ttl_s, moment])
        if created:
            open_jobs = self._state.redis.zadd(self._open, {job_id: datetime.now(UTC).timestamp()})
            await self._state.call(open_jobs)
        return job_id, bool(created)

    async def discard(self, job_id: str) -> None:
        """Forgets a job that could not be started."""
        await self._state.call(self._state.redis.delete(*self._keys(job_id)))
        await self._state.call(self._state.redis.zrem(self._open, job_id))

    async def view(self, job_id: str) -> JobView:
        """The job as it stands. Raises `NotFound`."""
        record: Any = await self._state.call(cast("Any", self._state.redis.hgetall(self._keys(job_id)[0])))
        if not record:
            raise NotFound(f"작업 '{job_id[:40]}'을(를) 찾을 수 없습니다. 보관 기간이 지났을 수 있습니다.")
        request = JOB_REQUEST.validate_json(record["request"])
        return JobView(
            job_id=job_id, kind=request.kind, request=request, status=record["status"],
            attempts=int(record["attempts"]), progress=json.loads(record.get("progress", "{}")),
            created_at=record["created_at"], ended_at=record.get("ended_at"),
        )  # fmt: skip

    async def unfinished(self) -> list[str]:
        """Ids of jobs that have not ended, oldest first."""
        ids: Any = await self._state.call(self._state.redis.zrange(self._open, 0, -1))
        return list(ids)

    async def claim(self, job_id: str) -> str | None:
        """A token to run the job with, None when it has ended; waits while another run holds it.

        Raises `NotFound`.
        """
        token = secrets.token_hex(8)
        while True:
            args: list[str | int] = [token, int(self.lease_s * 1000)]
            code, left_ms = await self._claim(keys=self._keys(job_id)[:1], args=args)
            if code == -1:
                raise NotFound(f"작업 '{job_id[:40]}'을(를) 찾을 수 없습니다.")
            if code == 0:
                return None
            if code == 1:
                return token
            await asyncio.sleep(min(left_ms / 1000 + 0.05, 2.0))

    async def renew(self, job_id: str, token: str) -> bool:
        """Keeps the lease; True when the job shall be cancelled. Raises `JobLost`."""
        args: list[str | int] = [token, int(self.lease_s * 1000)]
        code = await self._renew(keys=self._keys(job_id)[:1], args=args)
        if code < 0:
            raise JobLost(job_id)
        return bool(code)

    async def tell(self, job_id: str, token: str, event: dict[str, Any], *, status: str = "") -> None:
        """Appends a progress event and sets the status, if given. Raises `JobLost`."""
        text, moment = json.dumps(event, ensure_ascii=False), datetime.now(UTC).isoformat()
        args: list[str | int] = [token, _MOST_EVENTS, status, moment, text]
        if not await self._append(keys=self._keys(job_id), args=args):
            raise JobLost(job_id)
        if status in ENDED:
            await self._state.call(self._state.redis.zrem(self._open, job_id))

    async def cancel(self, job_id: str) -> None:
        """Asks the job to end; one that has ended stays as it is. Raises `NotFound`."""
        if await self._cancel(keys=self._keys(job_id)[:1], args=[]) is None:
            raise NotFound(f"작업 '{job_id[:40]}'을(를) 찾을 수 없습니다.")

    async def follow(self, job_id: str, after: int = 0) -> AsyncGenerator[tuple[int, dict[str, Any]]]:
        """Numbered progress events above `after`, to the end of the job. Raises `NotFound`."""
        while True:
            ended = (await self.view(job_id)).status in ENDED
            entries: Any = await self._state.call(
                self._state.redis.xrange(self._keys(job_id)[1], min=f"{after + 1}-0")
            )
            for entry_id, fields in entries:
                after = int(entry_id.partition("-")[0])
                yield after, json.loads(fields["e"])
            if ended:
                return
            await asyncio.sleep(_LOOK_S)

    @property
    def _open(self) -> str:
        return f"{self._state.prefix}jobs-open"

    def _keys(self, job_id: str) -> list[str]:
        return [self._state.key("job", job_id), self._state.key("job", job_id, "log")]
