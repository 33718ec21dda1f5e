"""Work that goes on beside a context for as long as it is open. Knows nothing of what the work is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import structlog

log = structlog.get_logger(__name__)


@asynccontextmanager
async def background(work: Coroutine[Any, Any, None], *, name: str) -> AsyncIterator[None]:
    """Runs `work` while the context is open; cancels it at the end, and waits until it has ended.

    A fault that ends the work is logged at once under `name`, and ends nothing else.
    """
    task = asyncio.create_task(work, name=name)
    task.add_done_callback(_log_fault)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _log_fault(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (fault := task.exception()) is not None:
        log.error("background_work_failed", work=task.get_name(), exc_info=fault)
