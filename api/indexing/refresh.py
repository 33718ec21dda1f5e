"""Follows the index: when a new build becomes current, the searcher gets its snapshot.

Turns in flight finish on the snapshot they began with. Knows nothing of how an index is built.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog

from api.settings import Settings
from retrieval.errors import RetrievalError
from retrieval.index.base import FaqIndex
from retrieval.index.opening import current_fingerprint, open_index
from retrieval.search import Searcher

log = structlog.get_logger(__name__)


@asynccontextmanager
async def refresh_index(searcher: Searcher, settings: Settings) -> AsyncIterator[None]:
    """Keeps `searcher.index` current for as long as the context is open."""
    task = asyncio.create_task(_poll(searcher, settings), name="index-refresh")
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _poll(searcher: Searcher, settings: Settings) -> None:
    replaced: FaqIndex | None = None
    try:
        while True:
            await asyncio.sleep(settings.index.refresh_s)
            # Closed one look later: searches may still have been running on it when it was replaced.
            if replaced is not None:
                replaced.close()
                replaced = None
            try:
                replaced = await asyncio.to_thread(refresh, searcher, settings)
            except RetrievalError as exc:
                log.warning("index_refresh_failed", error=str(exc))
    finally:
        if replaced is not None:
            replaced.close()


def refresh(searcher: Searcher, settings: Settings) -> FaqIndex | None:
    """Loads the current build if it is another one; the replaced index, still open. Blocking."""
    token = settings.index.token.get_secret_value()
    fingerprint = current_fingerprint(settings.index_uri, token=token)
    if fingerprint in (None, searcher.index.fingerprint):
        return None
    old = searcher.index
    searcher.index = open_index(
        settings.index_uri,
        token=token,
        embedder=searcher.embedder.name,
        tokenizer=searcher.tokenizer.version,
        snapshot_max_faqs=settings.index.snapshot_max_faqs,
    )
    log.info("index_refreshed", old=old.fingerprint, new=searcher.index.fingerprint)
    return old
