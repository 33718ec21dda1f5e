"""A server of models over HTTP, as embeddings and rerankers need it: one JSON request, tried again.

Knows keys, retries and pauses; knows neither vectors nor scores.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import httpx

from retrieval.errors import EmbedderError

_RETRIED = frozenset({408, 409, 429, 500, 502, 503, 504})
_LONGEST_WAIT_S = 20.0


class ModelServer:
    """Posts requests; thread-safe.

    Args:
        base_url: up to and with the version, such as `https://host/v1`.
        api_key: sent as bearer token unless empty.
        timeout_s: bound on one request, in seconds.
        attempts: how often a request is tried before giving up, pauses doubling from 0.5 s.

    Raises:
        EmbedderError: no usable `base_url`.
    """

    def __init__(self, base_url: str, *, api_key: str, timeout_s: float, attempts: int) -> None:
        if not base_url.startswith(("http://", "https://")):
            raise EmbedderError(f"base_url {base_url!r} must begin with http:// or https://")
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._client = httpx.Client(base_url=base_url.rstrip("/"), headers=headers, timeout=timeout_s)
        self._attempts = attempts

    def post(self, path: str, body: Mapping[str, Any]) -> httpx.Response:
        """The reply to a request that succeeded. Raises `EmbedderError`."""
        pause, fault, cause = 0.5, "", None
        for attempt in range(self._attempts):
            if attempt:
                time.sleep(pause)
                pause *= 2
            try:
                reply = self._client.post(path, json=body)
            except httpx.HTTPError as exc:
                fault, cause = f"{type(exc).__name__} {exc}", exc
                continue
            if reply.is_success:
                return reply
            fault, cause = f"HTTP {reply.status_code}: {reply.text[:200]}", None
            if reply.status_code not in _RETRIED:
                break
            pause = max(pause, _retry_after(reply))
        raise EmbedderError(f"{self._client.base_url}{path.lstrip('/')} failed: {fault}") from cause

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()


def _retry_after(reply: httpx.Response) -> float:
    try:
        return min(max(float(reply.headers.get("Retry-After", 0)), 0.0), _LONGEST_WAIT_S)
    except ValueError:
        return 0.0
