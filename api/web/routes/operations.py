"""For operators and probes: liveness, readiness, metrics."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from api.errors import ApiError
from api.web.routes.dependencies import ServicesDep
from retrieval.errors import RetrievalError

router = APIRouter(tags=["operations"])


@router.get("/health")
async def health() -> dict[str, str]:
    """The process lives; says nothing of what it depends on."""
    return {"status": "ok"}


@router.get("/ready", responses={503: {"description": "A dependency is away; `checks` says which."}})
async def ready(services: ServicesDep) -> JSONResponse:
    """Every dependency answers: turns can be taken."""
    checks: dict[str, str] = {"state": "ok", "index": "ok"}
    try:
        await services.state.ping()
    except ApiError as exc:
        checks["state"] = exc.message
    try:
        await asyncio.to_thread(services.engine.searcher.index.get, [])
    except RetrievalError as exc:
        checks["index"] = str(exc)
    ok = all(value == "ok" for value in checks.values())
    body = {"status": "ready" if ok else "unavailable", "checks": checks,
            "index": services.engine.searcher.index.fingerprint}  # fmt: skip
    return JSONResponse(body, 200 if ok else 503, {} if ok else {"Retry-After": "3"})


@router.get("/metrics", response_class=Response)
async def metrics(services: ServicesDep) -> Response:
    """Prometheus metrics of this process."""
    return Response(generate_latest(services.metrics.registry), media_type=CONTENT_TYPE_LATEST)
