"""Jobs over HTTP: begin, look, follow, cancel; for keys with the scope `admin`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Annotated, Any

from fastapi import APIRouter, Header
from fastapi.responses import StreamingResponse

from api.errors import ApiError, InvalidRequest
from api.jobs.records import JobView
from api.jobs.requests import JobRequest
from api.services import Services
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
    job_id, created = await services.jobs.create(body)
    if created:
        try:
            await services.job_runner.start(job_id)
        except ApiError:
            await services.jobs.discard(job_id)
            raise
    return await services.jobs.view(job_id)


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
    follow = services.jobs.follow(job_id, after).__aiter__()
    pending: asyncio.Task[tuple[int, dict[str, Any]]] | None = None
    try:
        while True:
            pending = pending or asyncio.ensure_future(anext(follow))
            done, _ = await asyncio.wait({pending}, timeout=services.settings.server.heartbeat_s)
            if not done:
                yield b": keep-alive\n\n"
                continue
            try:
                number, event = pending.result()
            except StopAsyncIteration:
                break
            pending = None
            told = one_line(json.dumps(event, ensure_ascii=False))
            yield f"id: {number}\nevent: progress\ndata: {told}\n\n".encode()
        view = await services.jobs.view(job_id)
        yield f"event: job.ended\ndata: {one_line(view.model_dump_json())}\n\n".encode()
    finally:
        if pending is not None:
            pending.cancel()
            await asyncio.gather(pending, return_exceptions=True)
