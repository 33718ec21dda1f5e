"""Runs a claimed job in its process, passes its progress on, and ends it when it is cancelled.

Knows records and processes, not what jobs do nor where the order to run one came from.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress
from functools import partial
from typing import Any

import structlog

from api.errors import StateUnavailable
from api.jobs.records import JobLost, JobRecords
from api.settings import ROOT
from api.turns.writer import retry_while_away

log = structlog.get_logger(__name__)
COMMAND = (sys.executable, "-m", "api.jobs.process")
_END_S = 10.0
_AWAY_S = 60.0
_TAIL = 500


async def run_job(job_id: str, records: JobRecords, *, command: tuple[str, ...] = COMMAND) -> None:
    """Runs the job to its end; returns at once where it has ended.

    Cancelling ends the process and gives the job back for another run.

    Raises:
        NotFound: the job's record is gone.
        JobLost: another run has taken it over.
        StateUnavailable: the state store is away.
    """
    token = await records.claim(job_id)
    if token is None:
        return
    request = (await records.view(job_id)).request.model_dump_json()
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, request, stdout=pipe, stderr=pipe, cwd=ROOT)
    reading = asyncio.create_task(_read(process, job_id, records, token))
    cancelled = asyncio.Event()
    watching = asyncio.create_task(_watch(process, job_id, records, token, cancelled))
    try:
        last = await reading
        status = "cancelled" if cancelled.is_set() else "completed" if "result" in last else "failed"
        last = {"cancelled": True} if cancelled.is_set() else last
        await retry_while_away(lambda: records.tell(job_id, token, last, status=status), away_s=_AWAY_S)
        log.info("job.ended", job_id=job_id, status=status)
    except asyncio.CancelledError:
        await _end(process)
        with suppress(StateUnavailable, JobLost):
            await records.tell(job_id, token, {"step": "interrupted", "done": 0, "total": 0}, status="queued")
        raise
    finally:
        watching.cancel()
        reading.cancel()
        await asyncio.gather(watching, reading, return_exceptions=True)
        await _end(process)


async def _read(
    process: asyncio.subprocess.Process, job_id: str, records: JobRecords, token: str
) -> dict[str, Any]:
    """Passes progress on; returns the process's last word."""
    assert process.stdout is not None
    assert process.stderr is not None
    last: dict[str, Any] = {}
    complaints = asyncio.create_task(process.stderr.read())
    try:
        async for raw in process.stdout:
            try:
                line = json.loads(raw)
            except ValueError:
                log.warning("job.noise", job_id=job_id, line=raw.decode(errors="replace")[:_TAIL])
                continue
            if "step" in line:
                await retry_while_away(partial(records.tell, job_id, token, line), away_s=_AWAY_S)
            else:
                last = line
        code, complaint = await process.wait(), (await complaints).decode(errors="replace")
    finally:
        complaints.cancel()
    if not last:
        log.error("job.crashed", job_id=job_id, code=code, error=complaint[-_TAIL:])
        last = {"error": f"작업 프로세스가 비정상 종료했습니다 (종료 코드 {code})."}
    return last


async def _watch(
    process: asyncio.subprocess.Process,
    job_id: str,
    records: JobRecords,
    token: str,
    cancelled: asyncio.Event,
) -> None:
    """Keeps the lease while the job runs; ends the process when the job is lost or `cancelled`."""
    while True:
        try:
            cancel = await records.renew(job_id, token)
        except JobLost:
            await _end(process)
            return
        except StateUnavailable:
            cancel = False
        if cancel:
            cancelled.set()
            await _end(process)
            return
        await asyncio.sleep(min(1.0, records.lease_s / 3))


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _END_S)
    except TimeoutError:
        process.kill()
        await process.wait()
