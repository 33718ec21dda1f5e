"""Errors of the API, and their one translation into status codes and error events; and those of commands.

    ApiError(code, status, message, english, retryable, retry_after)
    ├── InvalidRequest       422  a field's value cannot be used
    ├── NotFound             404  no such turn, session, FAQ or job
    ├── Forbidden            403  the key may not do this
    ├── Unauthorized         401  no key, or an unknown one
    ├── Conflict             409  the same Idempotency-Key with another body
    ├── TooMany              429  a limit of this key is used up
    ├── Overloaded           503  the service is at its bound
    ├── StateUnavailable     503  Redis or Valkey does not answer
    ├── SearchUnavailable    503  the index cannot be searched
    ├── QueueUnavailable     503  RabbitMQ does not answer
    ├── HistoryUnavailable   503  the history's database does not answer
    └── ProviderError        502  a provider failed
        ├── ProviderTimeout  504  no token within the time allowed
        └── ProviderRejected 424  the provider refused the request itself, or has no key

`message` is Korean, for the seller or the caller; it names the value and the way out. As text the error is
English, for the log, and for a command where it comes that far. What only a command can meet is a
`CommandError`: English, and without a status.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from api.events import TurnFailed


class CommandError(Exception):
    """A command cannot do what it was told; the message is English and names the way out."""


class ApiError(Exception):
    """Base class; `status` is the HTTP status, `retry_after` in seconds.

    Args:
        message: what the caller reads, in Korean.
        english: what the log and a command say; what the class says where it is empty.
        retry_after: when another attempt may succeed.
    """

    code = "internal_error"
    status = 500
    retryable = False
    english: ClassVar[str] = "the request failed"

    def __init__(self, message: str, *, english: str = "", retry_after: float | None = None) -> None:
        self.message, self.retry_after = message, retry_after
        super().__init__(english or self.english)

    def event(self) -> TurnFailed:
        """This error as the closing event of a turn."""
        return TurnFailed(code=self.code, message=self.message, retryable=self.retryable)


class InvalidRequest(ApiError):
    """A field's value cannot be used."""

    code, status = "invalid_request", 422
    english = "a value cannot be used"


class UnknownProvider(InvalidRequest):
    """The request names a provider that is not configured."""

    code = "unknown_provider"
    english = "unknown provider"

    def __init__(self, name: str, valid: Iterable[str]) -> None:
        self.name, self.valid = name, tuple(valid)
        known = ", ".join(self.valid)
        super().__init__(
            f"알 수 없는 provider '{name[:80]}'입니다. 사용할 수 있는 값: {known}",
            english=f"{self.english} {name[:80]!r}; valid: {known}",
        )


class NotFound(ApiError):
    """No such turn, session, FAQ or job."""

    code, status = "not_found", 404
    english = "it is not there"


class Forbidden(ApiError):
    """The key may not do this."""

    code, status = "forbidden", 403
    english = "the key may not do this"


class Unauthorized(ApiError):
    """No key, or an unknown one."""

    code, status = "unauthorized", 401
    english = "no key, or an unknown one"


class Conflict(ApiError):
    """The request does not fit what is there: an Idempotency-Key, a FAQ or an edit under way."""

    code, status = "conflict", 409
    english = "it does not fit what is there"


class TooMany(ApiError):
    """A limit of this key is used up."""

    code, status, retryable = "rate_limited", 429, True
    english = "a limit of this key is used up"


class Overloaded(ApiError):
    """The service is at its bound."""

    code, status, retryable = "overloaded", 503, True
    english = "the service is at its bound"


class StateUnavailable(ApiError):
    """Redis or Valkey does not answer."""

    code, status, retryable = "state_unavailable", 503, True
    english = "the state store does not answer"


class SearchUnavailable(ApiError):
    """The index cannot be searched."""

    code, status, retryable = "search_unavailable", 503, True
    english = "the index cannot be searched"


class QueueUnavailable(ApiError):
    """RabbitMQ does not answer."""

    code, status, retryable = "queue_unavailable", 503, True
    english = "RabbitMQ does not answer"


class HistoryUnavailable(ApiError):
    """The history's database does not answer."""

    code, status, retryable = "history_unavailable", 503, True
    english = "the history's database does not answer"


class ProviderError(ApiError):
    """A provider failed; another attempt or provider may succeed.

    `sent` is false where the request never reached it: sent elsewhere, it cannot run twice. What it is in
    English goes on after the provider's name.
    """

    code, status, retryable = "provider_error", 502, True
    english = "failed"

    def __init__(
        self,
        provider: str,
        message: str,
        *,
        english: str = "",
        retry_after: float | None = None,
        sent: bool = True,
    ) -> None:
        self.provider, self.sent = provider, sent
        super().__init__(message, english=f"{provider}: {english or self.english}", retry_after=retry_after)


class ProviderTimeout(ProviderError):
    """No token within the time allowed."""

    code, status = "provider_timeout", 504
    english = "did not answer in time"


class ProviderRejected(ProviderError):
    """The provider refused the request itself; trying again cannot help."""

    code, retryable = "provider_rejected", False
    english = "refused the request"
    # Not a 5xx: SDKs would send the same request again, three times.
    status = 424
