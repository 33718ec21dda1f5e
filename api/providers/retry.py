"""When to try a provider again. Knows HTTP's `Retry-After`; does not know what is tried."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_FIRST_S, _MOST_S = 0.25, 4.0


def retry_after(header: Callable[[str], str]) -> float | None:
    """The wait that a response asks for, in seconds; None where it asks for none.

    `header` gives a header's value by its name, empty where it is missing.
    `Retry-After` holds seconds or a date (RFC 9110, 10.2.3); OpenAI adds `retry-after-ms`.
    """
    try:
        if milliseconds := header("retry-after-ms"):
            return max(0.0, float(milliseconds) / 1000)
        if not (value := header("retry-after")):
            return None
        if value.strip().replace(".", "", 1).isdigit():
            return float(value)
        wait: float = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
        return max(0.0, wait)
    except (ValueError, TypeError):
        return None


def backoff(attempt: int, asked_s: float | None = None) -> float:
    """Seconds before the attempt after number `attempt` (from 0): doubled each time, with jitter.

    Never less than `asked_s`, what the server asked for.
    """
    wait = min(_FIRST_S * 2.0**attempt, _MOST_S) * random.uniform(0.5, 1.0)
    return max(wait, asked_s or 0.0)
