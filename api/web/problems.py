"""Errors on the wire: RFC 9457 problem bodies, one place for every route.

Knows how an error looks to a caller, not where it came from.
"""

from __future__ import annotations

import math
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from api.errors import ApiError, InvalidRequest, SearchUnavailable, StateUnavailable
from api.text import printable
from api.web.openai.errors import PREFIX as OPENAI_PREFIX
from api.web.openai.errors import openai_error
from retrieval.errors import IndexFailure

_MOST_FAULTS = 8
PROBLEM_TYPE = "application/problem+json"
# How every route documents its faults; `/v1` has OpenAI's shape instead.
_FAULT = {"type": "object", "properties": {"detail": {"type": "string"}, "code": {"type": "string"}}}
DOCUMENTED: dict[int | str, dict[str, Any]] = {
    faults: {
        "description": description,
        "content": {
            PROBLEM_TYPE: {"schema": _FAULT},
            "application/json": {"schema": {"type": "object"}},
        },
    }
    for faults, description in (("4XX", "The request is refused."), ("5XX", "The service is in trouble."))
}
_TITLES = {
    400: "요청을 읽을 수 없습니다", 401: "인증이 필요합니다", 403: "권한이 없습니다", 404: "찾을 수 없습니다",
    405: "허용되지 않는 메서드입니다", 409: "이미 다른 요청에 쓰였습니다", 413: "요청이 너무 큽니다",
    422: "요청을 처리할 수 없습니다", 424: "응답 생성에 실패했습니다", 429: "요청이 너무 많습니다",
    500: "내부 오류입니다", 502: "응답 생성에 실패했습니다", 503: "지금은 이용할 수 없습니다",
    504: "응답이 제때 오지 않았습니다",
}  # fmt: skip
_REASONS = {
    "json_invalid": "올바른 JSON이 아닙니다",
    "missing": "필수 항목이 없습니다",
    "extra_forbidden": "알 수 없는 항목입니다",
    "string_too_short": "비어 있습니다",
    "string_type": "문자열이어야 합니다",
    "model_attributes_type": "JSON 객체여야 합니다",
}


def problem(status: int, code: str, detail: str, *, retry_after: float | None = None) -> JSONResponse:
    """A problem body; `retry_after` in seconds becomes the header."""
    headers = {"Retry-After": str(max(1, math.ceil(retry_after)))} if retry_after is not None else None
    body = {
        "type": "about:blank",
        "title": _TITLES.get(status, "오류"),
        "status": status,
        "detail": printable(detail),
        "code": code,
    }
    return JSONResponse(body, status, headers, PROBLEM_TYPE)


def refusal(
    path: str,
    status: int,
    code: str,
    detail: str,
    *,
    retry_after: float | None = None,
    param: str | None = None,
) -> JSONResponse:
    """An error in the shape that clients of `path` read: a problem body, or OpenAI's."""
    if path.startswith(OPENAI_PREFIX):
        return openai_error(status, code, detail, retry_after=retry_after, param=param)
    return problem(status, code, detail, retry_after=retry_after)


def install_problem_handlers(app: FastAPI) -> None:
    """Makes every error of `app` a problem body."""

    @app.exception_handler(ApiError)
    async def _api_error(request: Request, exc: ApiError) -> JSONResponse:
        return refusal(
            request.url.path,
            exc.status,
            exc.code,
            exc.message,
            retry_after=exc.retry_after,
            param=getattr(exc, "param", None),
        )

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, exc: RequestValidationError) -> JSONResponse:
        status = 400 if any(e["type"] == "json_invalid" for e in exc.errors()) else 422
        return refusal(
            request.url.path,
            status,
            InvalidRequest.code,
            "; ".join(_fault(e) for e in exc.errors()[:_MOST_FAULTS]),
        )

    @app.exception_handler(HTTPException)
    async def _http(request: Request, exc: HTTPException) -> JSONResponse:
        response = refusal(request.url.path, exc.status_code, "http_error", str(exc.detail))
        response.headers.update(exc.headers or {})
        if exc.status_code == 405:
            response.headers["Allow"] = ", ".join(_allowed(request))
        return response

    @app.exception_handler(RedisError)
    async def _state(request: Request, _exc: RedisError) -> JSONResponse:
        return refusal(
            request.url.path,
            503,
            StateUnavailable.code,
            "대화 저장소에 연결할 수 없습니다. 잠시 후 다시 시도해 주세요.",
            retry_after=3,
        )

    @app.exception_handler(IndexFailure)
    async def _index(request: Request, _exc: IndexFailure) -> JSONResponse:
        return refusal(
            request.url.path,
            503,
            SearchUnavailable.code,
            "FAQ 검색을 지금 사용할 수 없습니다. 잠시 후 다시 시도해 주세요.",
            retry_after=3,
        )


def _allowed(request: Request) -> list[str]:
    """Every method of this path; the router alone tells of the first route that has it."""

    def known(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)

    return [method for method in ("GET", "POST", "PUT", "PATCH", "DELETE") if known(method)]


def _fault(error: dict[str, Any]) -> str:
    """One validation error in Korean: where, and what is wrong."""
    where = ".".join(str(part)[:40] for part in error["loc"] if part != "body") or "본문"
    return f"{where}: {_REASONS.get(error['type'], error['msg'][:200])}"
