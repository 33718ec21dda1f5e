"""Fixtures of the API's tests: one built index and one running server for the whole run."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import aio_pika
import httpx
import pytest
import uvloop

from api.state.broker import AWAY, Broker, open_broker
from tests.api.live import Live, serve, smartstore
from tests.api.turns.queue_kit import AMQP, QUEUE, delete_queues


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """What talks to the network itself is tested on both loops: the server runs on uvloop."""
    if item.path.name == "test_pool.py":
        return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A data folder that holds the index of the bundled sample; built again only when it is stale."""
    kept = Path(request.config.cache.mkdir("sample-index"))
    folder = tmp_path_factory.mktemp("var")
    with (kept / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = smartstore(kept, "index", "build")
        assert done.returncode == 0, done.stderr
        shutil.copytree(kept / "index", folder / "index")
    return folder


@pytest.fixture
def root_logger() -> Iterator[logging.Logger]:
    """The root logger; afterwards it is as before."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield root
    root.handlers[:] = before
    root.setLevel(level)


@pytest.fixture(scope="session")
def live(data_dir: Path) -> Iterator[Live]:
    """A running server on the bundled sample."""
    with serve(data_dir) as server:
        yield server


@pytest.fixture
async def broker(prefix: str) -> AsyncIterator[Broker]:
    """Queues of this test alone on the local RabbitMQ; skips where there is none."""
    try:
        connection = await aio_pika.connect(AMQP, timeout=20)
    except AWAY as exc:
        pytest.skip(f"NOT TESTED against RabbitMQ: none answers at {AMQP} ({exc!r})")
    await connection.close()
    async with open_broker(AMQP, prefix=prefix.strip(":"), **QUEUE) as opened:
        yield opened
        await delete_queues(opened)


@pytest.fixture
def client(live: Live) -> Iterator[httpx.Client]:
    """An HTTP client of the running server."""
    with live.client() as http:
        yield http
