"""Which of the client's exceptions mean that the state store is away. Knows no calls."""

from __future__ import annotations

from redis.exceptions import (
    BusyLoadingError,
    ClusterDownError,
    ConnectionError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    TimeoutError,
    TryAgainError,
)

from api.errors import StateUnavailable

MESSAGE = "대화 저장소가 응답하지 않습니다. 잠시 후 다시 시도해 주세요."
AWAY = (
    ConnectionError,
    TimeoutError,
    BusyLoadingError,
    ClusterDownError,
    RedisClusterException,
    ReadOnlyError,
    OutOfMemoryError,
    NoPermissionError,
    TryAgainError,
    OSError,
)


def unavailable(retry_after: float = 1.0) -> StateUnavailable:
    """The error of a store that is away; `retry_after` in seconds."""
    return StateUnavailable(MESSAGE, retry_after=retry_after)


def translated(exc: Exception) -> Exception:
    """`StateUnavailable` for an exception that says the store is away, else the exception."""
    return unavailable() if isinstance(exc, AWAY) else exc
