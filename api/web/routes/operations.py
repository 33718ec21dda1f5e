"""For operators and probes: liveness, readiness, metrics."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from redis.exceptions import RedisError

from api.errors import ApiError
from api.settings import Settings
from api.web.routes.dependencies import ServicesDep
from retrieval.errors import RetrievalError
from retrieval.first.index import build_progress

router = APIRouter(tags=["operations"])


# Uptime checks and load balancers ask with HEAD.
@router.head("/health", include_in_schema=False)
@router.get("/health")
async def health() -> dict[str, str]:
    """The process lives; says nothing of what it depends on."""
    return {"status": "ok"}


@router.head("/ready", include_in_schema=False)
@router.get("/ready", responses={503: {"description": "A dependency is away; `checks` says which."}})
async def ready(services: ServicesDep) -> JSONResponse:
    """Every dependency answers: turns can be taken."""
    checks: dict[str, str] = {"state": "ok", "index": "ok"}
    if services.readers.closing:
        checks["process"] = "ending"
    try:
        await services.state.ping()
    except ApiError as exc:
        checks["state"] = exc.message
    except RedisError as exc:
        # It answers, but takes nothing: a full disk, for one.
        checks["state"] = f"대화 저장소가 쓰기를 받지 않습니다: {exc}"
    try:
        await asyncio.to_thread(services.engine.searcher.index.get, [])
    except RetrievalError as exc:
        checks["index"] = f"FAQ를 검색할 수 없습니다: {exc}"
    ok = all(value == "ok" for value in checks.values())
    body = {
        "status": "ready" if ok else "unavailable",
        "checks": checks,
        "warnings": _warnings(services.settings),
        "index": services.engine.searcher.index.fingerprint,
        "building": build_progress(services.engine.searcher.index),
    }
    return JSONResponse(body, 200 if ok else 503, {} if ok else {"Retry-After": "3"})


def _warnings(settings: Settings) -> list[str]:
    """What does not keep turns from being answered, and is surely not meant."""
    if not settings.providers.default_lacks_key:
        return []
    default, others = settings.providers.default, ", ".join(settings.providers.fallback)
    return [
        f"기본 provider '{default}'의 API 키가 없어 {others or '아무도 대신하지 않습니다'}"
        f"{'이(가) 대신 답합니다' if others else ''}. {settings.key_variable}를 설정해 주세요."
    ]


@router.get("/metrics", response_class=Response)
async def metrics(services: ServicesDep) -> Response:
    """Prometheus metrics of this process."""
    return Response(generate_latest(services.metrics.registry), media_type=CONTENT_TYPE_LATEST)
