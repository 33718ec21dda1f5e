"""Opens the history's database by URL alone: a SQLite file (WAL) or PostgreSQL; upgrades its schema.

    sqlite:///path/to/history.db       a file; the embedded default lies below the data folder
    postgresql://user:pass@host/name   a server

Knows drivers and revisions; knows no turns.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Connection, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from api.errors import HistoryUnavailable

log = structlog.get_logger(__name__)
AWAY = (DBAPIError, PoolTimeout, OSError, TimeoutError)
MIGRATIONS = Path(__file__).resolve().parent / "migrations"
_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+asyncpg",
    "postgres": "postgresql+asyncpg",
}
# Any number will do, as long as every process that upgrades takes the same.
_UPGRADE_LOCK = 0x5354_4F52


@contextmanager
def guarded() -> Iterator[None]:
    """Turns what the drivers raise into `HistoryUnavailable`."""
    try:
        yield
    except AWAY as exc:
        log.warning("history.away", error=repr(exc)[:300])
        raise HistoryUnavailable(
            "질문 기록을 읽을 수 없습니다. 잠시 후 다시 시도해 주세요.", retry_after=5.0
        ) from exc


def database_url(url: str, *, default: Path) -> str:
    """The URL with its driver; an empty one names the SQLite file `default`.

    Raises:
        ValueError: it is no URL, or of another database.
    """
    if not url:
        return f"{_DRIVERS['sqlite']}:///{default}"
    try:
        parsed = make_url(url)
    except ArgumentError as exc:
        raise ValueError("history.url must be sqlite:///… or postgresql://…") from exc
    kind = parsed.drivername.partition("+")[0]
    if kind not in _DRIVERS:
        raise ValueError(f"history.url: unknown database {kind!r}; valid: sqlite, postgresql")
    return parsed.set(drivername=_DRIVERS[kind]).render_as_string(hide_password=False)


@asynccontextmanager
async def open_database(url: str) -> AsyncIterator[AsyncEngine]:
    """An engine on `url` (see `database_url`); connects when it is first used."""
    # Korean as it is: escaped it takes twice the bytes.
    options: dict[str, Any] = {"json_serializer": partial(json.dumps, ensure_ascii=False)}
    if url.startswith("postgresql"):
        # A server that hangs must not hang who asks: 5 s to connect, 15 s for a statement.
        options |= {"pool_size": 4, "max_overflow": 4, "pool_timeout": 5, "pool_pre_ping": True,
                    "connect_args": {"timeout": 5, "command_timeout": 15}}  # fmt: skip
    else:
        file = make_url(url).database
        if file:
            Path(file).parent.mkdir(parents=True, exist_ok=True)
    engine = create_async_engine(url, **options)
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", _write_ahead)
    try:
        yield engine
    finally:
        await engine.dispose()


async def upgrade(engine: AsyncEngine) -> None:
    """Brings the schema to the newest revision; processes that start together wait for each other.

    Raises:
        HistoryUnavailable: the database does not answer.
    """
    with guarded():
        async with _one_at_a_time(engine), engine.begin() as connection:
            if engine.dialect.name == "postgresql":
                await connection.execute(text(f"SELECT pg_advisory_xact_lock({_UPGRADE_LOCK})"))
            await connection.run_sync(_upgrade)


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


@asynccontextmanager
async def _one_at_a_time(engine: AsyncEngine) -> AsyncIterator[None]:
    file = engine.url.database if engine.dialect.name == "sqlite" else None
    if not file or file == ":memory:":
        yield
        return
    handle = os.open(f"{file}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        await asyncio.to_thread(fcntl.flock, handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _write_ahead(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    # WAL: readers (the console) and the one writer do not wait for each other; NORMAL loses nothing
    # when a process dies, at most the last commits in a power cut, which the outbox no longer has.
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=10000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
