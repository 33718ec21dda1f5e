"""Opens the history that the settings describe, and what writes it. Knows no rows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from api.errors import HistoryUnavailable
from api.history.database import database_url, open_database, upgrade
from api.history.outbox import Outbox
from api.history.store import History
from api.history.writer import HistoryWriter, writing
from api.settings import Settings, SettingsError
from api.state.connection import State
from api.turns.records import TurnRecords

log = structlog.get_logger(__name__)
_MARGIN_S = 60.0


def history_url(settings: Settings) -> str:
    """The database of the settings, with its driver. Raises `SettingsError`."""
    default = settings.path(settings.data_dir) / "history" / "history.db"
    try:
        return database_url(settings.history.url.get_secret_value(), default=default)
    except ValueError as exc:
        raise SettingsError(str(exc)) from exc


@asynccontextmanager
async def open_history(settings: Settings) -> AsyncIterator[History | None]:
    """The history, its schema upgraded; None where the settings turn it off.

    A database that is away does not fail here: the writer upgrades it when it is back.
    """
    if not settings.history.enabled:
        yield None
        return
    async with open_database(history_url(settings)) as engine:
        try:
            await upgrade(engine)
        except HistoryUnavailable as exc:
            log.warning("history.away_at_start", error=str(exc.__cause__)[:300])
        yield History(engine)


def open_outbox(settings: Settings, state: State) -> Outbox | None:
    """Where turns wait to be written; None where the settings turn the history off."""
    if not settings.history.enabled:
        return None
    queued = settings.queue.redelivery_s if settings.turns.runner == "queued" else 0.0
    return Outbox(
        state,
        look_after_s=settings.turns.timeout_s + queued + _MARGIN_S,
        max_waiting=settings.history.max_waiting,
        ttl_s=settings.state.turn_ttl_s,
    )


@asynccontextmanager
async def write_behind(
    settings: Settings, history: History | None, state: State, turns: TurnRecords, outbox: Outbox | None
) -> AsyncIterator[None]:
    """Writes ended turns into `history` for as long as the context is open."""
    if history is None or outbox is None:
        yield
        return
    writer = HistoryWriter(history, outbox, state, turns, retention_days=settings.history.retention_days)
    async with writing(writer):
        yield
