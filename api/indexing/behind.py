"""Builds the index behind a server that answers from its words meanwhile.

The build runs in a process of its own, after turns and searches on this machine; when it is in service the
server switches to it as to any other. Knows processes; not how an index is built.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from api.indexing.refresh import refresh
from api.jobs.runner import COMMAND
from api.settings import ROOT, Settings
from api.work.background import background
from retrieval.first.index import BuildProgress, FirstIndex
from retrieval.search import Searcher

log = structlog.get_logger(__name__)
_TOLD = 10


@asynccontextmanager
async def build_behind(searcher: Searcher, settings: Settings, *, wanted: bool) -> AsyncIterator[None]:
    """Builds for as long as the context is open, if that is wanted and something of the build is missing."""
    index = searcher.index
    if not wanted or index.offers is not None:
        yield
        return
    progress = index.progress if isinstance(index, FirstIndex) else BuildProgress()
    async with background(_build(searcher, progress, settings), name="first-build"):
        yield


async def _build(searcher: Searcher, progress: BuildProgress, settings: Settings) -> None:
    process = await asyncio.create_subprocess_exec(
        *COMMAND, json.dumps({"kind": "reindex"}), stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    assert process.stdout is not None
    told = ("", 0)
    try:
        async for line in process.stdout:
            said = json.loads(line)
            if "step" not in said:
                progress.failed = said.get("reason", "")
                continue
            progress.step, progress.done, progress.total = said["step"], said["done"], said["total"]
            tenths = _TOLD * progress.done // max(progress.total, 1)
            if (progress.step, tenths) != told:
                told = (progress.step, tenths)
                log.info("index_building", step=progress.step, done=progress.done, total=progress.total)
            if progress.step == "titles":
                # It is in service already.
                await asyncio.to_thread(refresh, searcher, settings)
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if progress.failed or process.returncode:
        progress.failed = progress.failed or f"exit status {process.returncode}"
        log.error("index_not_built", reason=progress.failed)
    else:
        await asyncio.to_thread(refresh, searcher, settings)
