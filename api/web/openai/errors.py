"""Errors in OpenAI's shape, as its SDKs read them. Knows how they look, not where they come from.

Follows `ErrorResponse` of the published API description.
"""

from __future__ import annotations

import json
import math
from typing import Any

from fastapi.responses import JSONResponse

from api.text import printable
from retrieval.characters import one_line

PREFIX = "/v1/"
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_CODES = {"unauthorized": "invalid_api_key", "rate_limited": "rate_limit_exceeded"}


def error_body(status: int, code: str, message: str, *, param: str | None = None) -> dict[str, Any]:
    """The JSON of an error; `status` decides its type."""
    kind = _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {
        "error": {"message": printable(message), "type": kind, "param": param, "code": _CODES.get(code, code)}
    }


def openai_error(
    status: int, code: str, message: str, *, param: str | None = None, retry_after: float | None = None
) -> JSONResponse:
    """An error as a response; OpenAI knows no 422, and `retry_after` (seconds) becomes the header."""
    status = 400 if status == 422 else status
    headers = {"Retry-After": str(max(1, math.ceil(retry_after)))} if retry_after is not None else None
    return JSONResponse(error_body(status, code, message, param=param), status, headers)


def error_event(status: int, code: str, message: str) -> bytes:
    """An error in the middle of a stream: SDKs raise `APIError` for it."""
    body = json.dumps(error_body(status, code, message), ensure_ascii=False)
    return b"data: " + one_line(body).encode() + b"\n\n"
