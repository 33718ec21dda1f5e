"""Follows the index: when a new build becomes current, the searcher gets its snapshot.

Turns in flight finish on the snapshot they began with. Knows nothing of how an index is built.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

import structlog

from api.errors import StateUnavailable
from api.settings import Settings
from api.state.channels import Listener
from api.state.connection import State
from api.work.background import background
from retrieval.errors import RetrievalError
from retrieval.index.base import FaqIndex
from retrieval.index.opening import current_fingerprint, known_offers, open_index
from retrieval.search import Searcher

log = structlog.get_logger(__name__)


@asynccontextmanager
async def refresh_index(searcher: Searcher, settings: Settings, state: State) -> AsyncIterator[None]:
    """Keeps `searcher.index` current while the context is open: looks every so often, and when told."""
    async with background(_poll(searcher, settings, state), name="index-refresh"):
        yield


async def tell(state: State, fingerprint: str) -> None:
    """Tells every process that a build is current; one that does not hear finds it at its next look."""
    with suppress(StateUnavailable):
        await state.call(cast("Any", state.redis.publish(_channel(state), fingerprint)))


def _channel(state: State) -> str:
    return f"{state.prefix}index"


async def _news(state: State, listener: Listener | None, seconds: float) -> Listener | None:
    """Waits so long, or until told; returns the ear, opened if it was not."""
    if listener is None:
        try:
            with state.guard():
                listener = await state.channels.subscribe(_channel(state))
        except (StateUnavailable, TimeoutError):
            await asyncio.sleep(seconds)
            return None
    with suppress(TimeoutError):
        await listener.get(seconds)
    return listener


async def _poll(searcher: Searcher, settings: Settings, state: State) -> None:
    replaced: FaqIndex | None = None
    listener: Listener | None = None
    try:
        while True:
            listener = await _news(state, listener, settings.index.refresh_s)
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
        if listener is not None:
            with suppress(StateUnavailable, asyncio.CancelledError):
                await state.channels.unsubscribe(_channel(state), listener)


def refresh(searcher: Searcher, settings: Settings) -> FaqIndex | None:
    """Loads the current build if it is another one; the replaced index, still open. Blocking."""
    token = settings.index.token.get_secret_value()
    fingerprint = current_fingerprint(settings.index_uri, token=token)
    if fingerprint in (None, searcher.index.fingerprint):
        if searcher.index.offers is None:
            # A build is in service before its titles have been looked up.
            searcher.index.offers = known_offers(settings.index_uri, searcher.index, token=token)
        return None
    old = searcher.index
    searcher.index = open_index(
        settings.index_uri,
        token=token,
        embedder=searcher.embedder.name,
        tokenizer=searcher.tokenizer.version,
        snapshot_max_faqs=settings.index.snapshot_max_faqs,
        loaded=old,
    )
    log.info("index_refreshed", old=old.fingerprint, new=searcher.index.fingerprint)
    return old
