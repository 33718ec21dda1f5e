"""Work beside a context: its end, its fault, and the context's own."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from api.work.background import background


async def test_background_work_has_ended_when_the_context_has() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.set()

    async def fail_beside_it() -> None:
        async with background(work(), name="waiting"):
            await begun.wait()
            raise KeyError("the context's own")

    with pytest.raises(KeyError, match="the context's own"):
        await fail_beside_it()
    assert ended.is_set()


async def test_fault_of_background_work_is_logged_at_once_and_ends_it_alone() -> None:
    async def work() -> None:
        raise RuntimeError("broken")

    with capture_logs() as lines:
        async with background(work(), name="broken-work"):
            await asyncio.sleep(0.01)
            [line] = lines
            assert (line["event"], line["log_level"], line["work"]) == (
                "background_work_failed",
                "error",
                "broken-work",
            )
            assert repr(line["exc_info"]) == repr(RuntimeError("broken"))
    assert len(lines) == 1
