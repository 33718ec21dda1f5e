"""Structured logs: JSON lines with request, session and turn ids, personal data masked.

Knows the format only; callers bind ids through `structlog.contextvars`.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, cast

import structlog

from api.masking import mask_personal_data
from api.settings import LogSettings

_TEXT_FIELDS = ("question", "standalone", "answer", "error")


def mask_event(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Masks personal data in the fields that carry people's text."""
    for name in _TEXT_FIELDS:
        if isinstance(value := event.get(name), str):
            event[name] = mask_personal_data(value)
    return event


def configure_logs(settings: LogSettings) -> None:
    """Sends structlog and the standard library's records to stderr in one format."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        mask_event,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if settings.format == "json"
        else structlog.dev.ConsoleRenderer()
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    for noisy in ("httpx", "httpcore", "uvicorn.access", "pymilvus", "milvus_lite", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


_encode = json.JSONEncoder(ensure_ascii=False, default=str).encode


def write_lines(logger: str, lines: Iterable[Mapping[str, object]]) -> None:
    """JSON lines at level `info`, for fields that hold nobody's text; `timestamp` is Unix time in seconds.

    Past the processors, all in one write; for lines as frequent as one a request.
    """
    root, text = logging.getLogger(), ""
    if not root.isEnabledFor(logging.INFO):
        return
    for line in lines:
        at = datetime.fromtimestamp(cast("float", line["timestamp"]), UTC).isoformat().replace("+00:00", "Z")
        text += _encode({**line, "level": "info", "logger": logger, "timestamp": at}) + "\n"
    for handler in root.handlers if text else ():
        if isinstance(handler, logging.StreamHandler):
            handler.stream.write(text)
