"""One turn as the history keeps it: built from its record and its events, personal data masked.

Knows the events of a turn as JSON, so that fields it has never heard of are kept; knows no database.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from api.masking import mask_personal_data

# What is no text of a person: identifiers would otherwise pass for account numbers.
_NOT_TEXT = frozenset({
    "type", "turn_id", "session_id", "faq_id", "provider", "model", "index", "verdict", "code", "from", "to",
    "id", "build",
})  # fmt: skip
Row = dict[str, Any]


def masked(value: Any) -> Any:
    """A JSON value whose every text is masked, except identifiers."""
    match value:
        case str():
            # PostgreSQL stores no NUL.
            return mask_personal_data(value.replace("\0", "\ufffd"))
        case Mapping():
            return {k: v if k in _NOT_TEXT else masked(v) for k, v in value.items()}
        case list() | tuple():
            return [masked(item) for item in value]
        case _:
            return value


def entry(turn_id: str, record: Mapping[str, str], texts: Iterable[str]) -> Row | None:
    """The row of an ended turn, None where its end is missing.

    Args:
        turn_id: of the turn.
        record: its hash in the state store.
        texts: its events as JSON, in order.
    """
    events = masked(_joined(json.loads(text) for text in texts))
    if not events or events[-1]["type"] not in ("turn.completed", "error"):
        return None
    request: dict[str, Any] = json.loads(record["request"])
    question = masked(request["question"])
    final = events[-1]
    last = {event["type"]: event for event in events}
    failed = final["type"] == "error"
    ended_ms = int(record.get("ended_ms") or 0)
    started_ms = int(record.get("begun_ms") or 0) or ended_ms
    return {
        "id": turn_id,
        "session_id": record.get("session", ""),
        "owner": record.get("owner", ""),
        "channel": str(request.get("channel") or "api")[:32],
        "question": question,
        "standalone": last.get("question.rewritten", {}).get("standalone", question),
        "answer": _shown(events) if failed else final.get("answer", ""),
        "status": "failed" if failed else "stopped" if final.get("stopped") else "completed",
        "verdict": "" if failed else str(final.get("verdict", ""))[:32],
        "error": str(final.get("code", ""))[:64] if failed else "",
        "provider": str(final.get("provider") or request.get("provider") or "")[:128],
        "model": str(last.get("turn.started", {}).get("model", ""))[:256],
        "build": str(final.get("index", ""))[:64],
        "cached": bool(final.get("cached")),
        "started_ms": started_ms,
        "ended_ms": ended_ms or started_ms,
        "sources": last.get("sources", {}).get("sources", []),
        "final": final,
        "events": events,
    }


def _joined(events: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The events with neighbouring deltas made one: a number may be split over two of them."""
    joined: list[dict[str, Any]] = []
    for event in events:
        if event["type"] == "delta" and joined and joined[-1]["type"] == "delta":
            joined[-1] = {**joined[-1], "text": joined[-1]["text"] + event["text"]}
        else:
            joined.append(event)
    return joined


def _shown(events: Iterable[Mapping[str, Any]]) -> str:
    text = ""
    for event in events:
        if event["type"] == "provider.switched":
            text = ""
        elif event["type"] == "delta":
            text += event["text"]
    return text
