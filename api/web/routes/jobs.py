"""Jobs over HTTP: begin, look, follow, cancel; for keys with the scope `admin`."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, Header
from fastapi.responses import StreamingResponse

from api.errors import InvalidRequest
from api.jobs.records import JobEvent, JobView
from api.jobs.requests import JobRequest
from api.jobs.start import begin_job
from api.services import Services
from api.web import sse
from api.web.routes.dependencies import AdminDep, ServicesDep
from api.web.streaming import EventStream
from retrieval.characters import one_line

router = APIRouter(prefix="/jobs", tags=["jobs"])
_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "`progress` events, then `job.ended` with the whole job.",
        "content": {"text/event-stream": {}},
    }
}


@router.post("", status_code=202)
async def begin(body: JobRequest, services: ServicesDep, caller: AdminDep) -> JobView:
    """Begins a job. The same request again, while it waits or runs, gives the same job."""
    services.readers.check_open()
    return await begin_job(body, services.jobs, services.job_runner)


@router.get("/{job_id}")
async def look(job_id: str, services: ServicesDep, caller: AdminDep) -> JobView:
    """A job as it stands, with its result or its error when it has ended."""
    return await services.jobs.view(job_id)


@router.get("/{job_id}/events", response_class=StreamingResponse, responses=_EVENTS)
async def events(
    job_id: str, services: ServicesDep, caller: AdminDep, last_event_id: Annotated[str, Header()] = ""
) -> EventStream:
    """Follows a job's progress; `Last-Event-ID` resumes."""
    if last_event_id and not (last_event_id.isascii() and last_event_id.isdigit()):
        raise InvalidRequest(f"Last-Event-ID '{last_event_id[:40]}'은(는) 숫자여야 합니다.")
    await services.jobs.view(job_id)
    return EventStream(_stream(services, job_id, int(last_event_id[:15] or 0)))


@router.delete("/{job_id}", status_code=202)
async def cancel(job_id: str, services: ServicesDep, caller: AdminDep) -> JobView:
    """Ends a job that waits or runs, within seconds; one that has ended stays as it is."""
    await services.jobs.cancel(job_id)
    return await services.jobs.view(job_id)


async def _stream(services: Services, job_id: str, after: int) -> AsyncGenerator[bytes]:
    following = services.jobs.follow(job_id, after)
    heartbeat_s = services.settings.server.heartbeat_s
    async with aclosing(sse.stream(following, heartbeat_s=heartbeat_s, encode=_encode)) as body:
        async for part in body:
            yield part
    view = await services.jobs.view(job_id)
    yield f"event: job.ended\ndata: {one_line(view.model_dump_json())}\n\n".encode()


def _encode(number: int, event: JobEvent) -> bytes:
    data = one_line(json.dumps(event, ensure_ascii=False))
    return f"id: {number}\nevent: progress\ndata: {data}\n\n".encode()
