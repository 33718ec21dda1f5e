"""Carries out a job in a process of its own: progress into its log, ended when it is cancelled.

Safe to run again for the same job (a queue delivers at least once): one that has ended is left alone,
one whose runner died is begun again. Knows records and processes, not what jobs do nor where the order
to run one came from.
"""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import Process
from contextlib import suppress

import structlog

from api.errors import StateUnavailable
from api.jobs.records import JobEvent, JobRecords
from api.settings import ROOT
from api.work.kinds import LeaseLost
from api.work.writer import EventWriter

log = structlog.get_logger(__name__)
COMMAND = (sys.executable, "-m", "api.jobs.process")
_END_S = 10.0
_AWAY_S = 60.0
_TAIL = 500
_CANCELLED: JobEvent = {"cancelled": True}
_INTERRUPTED: JobEvent = {"step": "interrupted", "done": 0, "total": 0}


async def run_job(job_id: str, records: JobRecords, *, command: tuple[str, ...] = COMMAND) -> None:
    """Runs the job to its end; returns at once where it has ended.

    Cancelling ends the process and gives the job back for another run.

    Raises:
        NotFound: the job's record is gone.
        LeaseLost: another run has taken it over.
        StateUnavailable: the state store is away.
    """
    claim = await records.claim(job_id)
    if claim is None:
        return
    async with EventWriter(records.log, job_id, claim.token, last=claim.last, away_s=_AWAY_S) as writer:
        try:
            last = (
                _CANCELLED if claim.stop else await _carry_out(job_id, records, claim.token, writer, command)
            )
            await writer.put(last)
            await writer.flush()
            log.info("job.ended", job_id=job_id, status=records.log.kind.status_after(last))
        except asyncio.CancelledError:
            with suppress(StateUnavailable, LeaseLost):
                await writer.put(_INTERRUPTED)
                await writer.flush()
                await records.release(job_id, claim.token)
            raise


async def _carry_out(
    job_id: str,
    records: JobRecords,
    token: str,
    writer: EventWriter[JobEvent],
    command: tuple[str, ...],
) -> JobEvent:
    """Runs the job's process; returns the job's last event."""
    request = (await records.view(job_id)).request.model_dump_json()
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, request, stdout=pipe, stderr=pipe, cwd=ROOT)
    reading = asyncio.create_task(_read(process, job_id, writer))
    watching = asyncio.create_task(_watch(job_id, records, token))
    try:
        await asyncio.wait({reading, watching}, return_when=asyncio.FIRST_COMPLETED)
        if watching.done():
            watching.result()
            return _CANCELLED
        return reading.result()
    finally:
        for task in (reading, watching):
            task.cancel()
        await asyncio.gather(reading, watching, return_exceptions=True)
        await _end(process)


async def _read(process: Process, job_id: str, writer: EventWriter[JobEvent]) -> JobEvent:
    """Passes progress on; returns the process's last line."""
    assert process.stdout is not None
    assert process.stderr is not None
    last: JobEvent = {}
    complaints = asyncio.create_task(process.stderr.read())
    try:
        async for raw in process.stdout:
            try:
                line = json.loads(raw)
            except ValueError:
                log.warning("job.noise", job_id=job_id, line=raw.decode(errors="replace")[:_TAIL])
                continue
            if "step" in line:
                await writer.put(line)
            else:
                last = line
        code, complaint = await process.wait(), (await complaints).decode(errors="replace")
    finally:
        complaints.cancel()
    if "error" in last:
        log.warning("job.failed", job_id=job_id, error=last.pop("reason", ""))
    if not last:
        log.error("job.crashed", job_id=job_id, code=code, error=complaint[-_TAIL:])
        last = {"error": f"작업 프로세스가 비정상 종료했습니다 (종료 코드 {code})."}
    return last


async def _watch(job_id: str, records: JobRecords, token: str) -> None:
    """Keeps the lease; returns when the job shall be cancelled. Raises `LeaseLost`."""
    while True:
        with suppress(StateUnavailable):
            if (await records.renew(job_id, token)).stop:
                return
        await asyncio.sleep(min(1.0, records.lease_s / 3))


async def _end(process: Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _END_S)
    except TimeoutError:
        process.kill()
        await process.wait()
