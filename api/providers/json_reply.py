"""Reads the JSON that a model was asked for out of what it wrote. Knows no shape of it."""

from __future__ import annotations

import json
from typing import Any


def json_object(reply: str) -> dict[str, Any]:
    """The first object in the reply, whatever stands around it; empty where there is none to read.

    Models like to wrap it in a code fence or a sentence.
    """
    start = reply.find("{")
    try:
        found = json.JSONDecoder().raw_decode(reply, start)[0] if start >= 0 else None
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {}
