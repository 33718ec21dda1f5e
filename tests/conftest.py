"""Shared fixtures: real state stores, and a fence around the machine.

Each test of the state gets its own key prefix on a store that is shared by the whole run.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from api.state.connection import State, open_state
from api.state.embedded import embedded_valkey

LOCAL_REDIS = "redis://127.0.0.1:6379"
_SECRETS = ("OPENAI_API_KEY", "HF_TOKEN", "ANTHROPIC_API_KEY")

# Settings of the shell that runs the tests would reach every server they start.
for _name in [name for name in os.environ if name.startswith("SMARTSTORE_")]:
    del os.environ[_name]
# Every server that a test starts would compile all it imports anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture(autouse=True)
def fenced_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """No API keys in the environment and no connection beyond loopback."""
    for name in _SECRETS:
        monkeypatch.delenv(name, raising=False)
    connect = socket.socket.connect

    def connect_to_loopback(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise OSError(f"tests may not connect to {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect_to_loopback)


@pytest.fixture(scope="session")
def embedded_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an embedded Valkey that lives as long as the test run."""
    with asyncio.Runner() as runner:
        server = embedded_valkey(tmp_path_factory.mktemp("valkey"))
        path = runner.run(server.__aenter__())
        yield f"unix://{path}"
        runner.run(server.__aexit__(None, None, None))


@pytest.fixture(scope="session")
def redis_url() -> str:
    """The URL of the Redis server on this machine; skips where there is none."""
    client = redis.Redis.from_url(LOCAL_REDIS, socket_connect_timeout=20)
    try:
        client.ping()
    except redis.exceptions.RedisError:
        pytest.skip(f"NOT TESTED against a Redis server: none answers at {LOCAL_REDIS}")
    finally:
        client.close()
    return LOCAL_REDIS


@pytest.fixture(scope="session")
def cluster_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a one-node Redis cluster (it refuses keys of two slots in one step)."""
    if shutil.which("redis-server") is None:
        pytest.skip("NOT TESTED against a Redis cluster: redis-server is not installed")
    port = free_port()
    folder = tmp_path_factory.mktemp("cluster")
    options = ["--cluster-enabled", "yes", "--save", "", "--bind", "127.0.0.1", "--dir", str(folder)]
    command = ["redis-server", "--port", str(port), "--cluster-port", str(free_port()), *options]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    client = redis.Redis(port=port, decode_responses=True)
    try:
        wait_until(lambda: answers(client))
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        wait_until(lambda: client.cluster("info")["cluster_state"] == "ok")
        yield f"redis+cluster://127.0.0.1:{port}"
    finally:
        client.close()
        server.terminate()
        server.wait(60)


@pytest.fixture(params=["embedded", "redis", "cluster"])
def state_url(request: pytest.FixtureRequest) -> str:
    """Each kind of state store in turn."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def prefix() -> str:
    """A key prefix of this test alone."""
    return f"test-{secrets.token_hex(6)}:"


@pytest.fixture
async def state(state_url: str, prefix: str, tmp_path: Path) -> AsyncIterator[State]:
    """An open state store of each kind; the test's keys are removed afterwards."""
    async with open_state(state_url, data_dir=tmp_path, prefix=prefix) as opened:
        yield opened
        await remove_keys(opened)


@pytest.fixture
async def embedded_state(embedded_url: str, prefix: str, tmp_path: Path) -> AsyncIterator[State]:
    """The embedded store alone, for tests that do not depend on the kind."""
    async with open_state(embedded_url, data_dir=tmp_path, prefix=prefix) as opened:
        yield opened
        await remove_keys(opened)


async def remove_keys(state: State) -> None:
    """Deletes what a test left behind."""
    for key in [key async for key in state.redis.scan_iter(match=f"{state.prefix}*")]:
        await state.redis.delete(key)


def free_port() -> int:
    """A TCP port on loopback that nobody listens on.

    Below those that the kernel gives to outgoing connections: one of these could take it before it is used.
    """
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def wait_until(condition: Any, *, timeout_s: float = 60.0) -> None:
    """Waits for `condition()` to be true; fails the test after `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not true after {timeout_s} s")
        time.sleep(0.05)


def answers(client: redis.Redis) -> bool:
    """True when the server behind `client` answers."""
    try:
        return bool(client.ping())
    except redis.exceptions.RedisError:
        return False


os.environ.setdefault("OMP_NUM_THREADS", "1")
