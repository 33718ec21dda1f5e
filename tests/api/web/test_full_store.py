"""A state store whose disk is full: it answers and takes nothing, and that is what callers are told."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from tests.api.live import Live, serve
from tests.conftest import answers, free_port, wait_until


@pytest.fixture
def store(redis_url: str, tmp_path: Path) -> Iterator[redis.Redis]:
    """A Redis of its own, which must be able to save."""
    port, folder = free_port(), tmp_path / "redis"
    folder.mkdir()
    options = ["--port", str(port), "--dir", str(folder), "--save", "3600 1", "--bind", "127.0.0.1"]
    server = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)
    with redis.Redis(port=port) as client:
        wait_until(lambda: answers(client))
        try:
            yield client
        finally:
            server.kill()
            server.wait()


@pytest.fixture
def live(data_dir: Path, store: redis.Redis) -> Iterator[Live]:
    port = store.connection_pool.connection_kwargs["port"]
    with serve(data_dir, SMARTSTORE_STATE__URL=f"redis://127.0.0.1:{port}") as server:
        yield server


def fill_disk(store: redis.Redis, folder: Path) -> None:
    """From now on nothing can be saved, and the store refuses what changes it."""
    shutil.rmtree(folder)
    store.bgsave()

    def failed() -> bool:
        info: Any = store.info("persistence")
        return bool(info["rdb_last_bgsave_status"] == "err")

    wait_until(failed)


def test_a_store_with_a_full_disk_is_told_and_survived(
    live: Live, store: redis.Redis, tmp_path: Path
) -> None:
    question = {"question": "반품 배송비는 누가 내나요?"}
    with live.client() as client:
        assert client.post("/chat", json=question).status_code == 200
        fill_disk(store, tmp_path / "redis")
        refused = client.post("/chat", json=question)
        assert (refused.status_code, refused.headers["content-type"]) == (503, "application/problem+json")
        assert int(refused.headers["retry-after"]) > 0
        ready = client.get("/ready")
        assert (ready.status_code, ready.json()["status"]) == (503, "unavailable")
        assert "MISCONF" in ready.json()["checks"]["state"]
        store.config_set("stop-writes-on-bgsave-error", "no")
        wait_until(lambda: client.get("/ready").status_code == 200)
        again: httpx.Response = client.post("/chat", json=question)
        assert "turn.completed" in again.text
