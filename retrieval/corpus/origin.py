"""Where a FAQ was published and when it was last changed, as a file says it."""

from __future__ import annotations

import re
from datetime import date
from urllib.parse import urlsplit

_DATE = re.compile(r"(\d{4})\s*[-./년]\s*(\d{1,2})\s*[-./월]\s*(\d{1,2})\s*[.일]?(?:[T ].*)?")


def read_link(text: str) -> str:
    """The address of a page; empty where there is none. Raises `ValueError` for anything else."""
    text = text.strip()
    if not text:
        return ""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"\s", text):
        raise ValueError(f"the link {text[:80]!r} is no http(s) address")
    return text


def read_date(text: str) -> str:
    """A day as 2026-03-02, from what Excel and people write; empty where there is none.

    Raises:
        ValueError: it is no day.
    """
    text = text.strip()
    if not text:
        return ""
    match = _DATE.fullmatch(text)
    try:
        if match is not None:
            return date(*map(int, match.groups())).isoformat()
    except ValueError:
        pass
    raise ValueError(f"the date {text[:40]!r} is no day; write it as 2026-03-02")
