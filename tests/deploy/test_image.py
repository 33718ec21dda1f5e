"""The built image does its three jobs as its own user: `make image` builds it and runs this."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.cluster.servers import Milvus, RabbitMQ, Redis, free_port
from tests.conftest import wait_until
from tests.deploy.image import Container, is_built

KEY = secrets.token_hex(32)
USER = "10001"
pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(not is_built(), reason="NOT TESTED: no image is built here; make image builds it"),
]


@pytest.fixture
def container(tmp_path: Path) -> Iterator[Container]:
    """A container of the image in front of servers of its own; the index of the sample is built in it."""
    with contextlib.ExitStack() as stack:
        servers = [kind(tmp_path / kind.__name__) for kind in (Redis, RabbitMQ, Milvus)]
        for server in servers:
            server.start()
            stack.callback(server.stop)
        redis, rabbitmq, milvus = servers
        environment = {
            "SMARTSTORE_STATE__URL": redis.url,
            "SMARTSTORE_QUEUE__URL": rabbitmq.url,
            "SMARTSTORE_TURNS__RUNNER": "queued",
            "SMARTSTORE_INDEX__URI": milvus.url,
            "SMARTSTORE_AUTH__ADMIN_KEY": KEY,
        }
        yield stack.enter_context(Container(environment))


@contextlib.contextmanager
def running(container: Container, *command: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A command in the container, with the id of the process that runs it there; ended afterwards."""
    wanted = f"^/venv/bin/python.* /venv/bin/smartstore {' '.join(command)}"
    process = subprocess.Popen(container.command(*command), stdout=subprocess.PIPE, text=True)
    number = 0
    try:
        assert process.stdout is not None
        assert any("ready" in line for line in process.stdout), f"{command} ended before it was ready"
        listed = subprocess.run(
            ["pgrep", "--uid", USER, "--full", wanted], capture_output=True, text=True
        ).stdout.split()
        assert len(listed) == 1, f"{command}: {listed} run as the image's user"
        number = int(listed[0])
        yield process, number
    finally:
        if number and process.poll() is None:
            os.kill(number, signal.SIGKILL)
        with process:
            process.kill()


def test_image_builds_index_answers_through_worker_and_ends_on_sigterm(container: Container) -> None:
    built = subprocess.run(container.command("index", "build"), capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    assert "index built" in built.stdout
    port = str(free_port())
    with (
        running(container, "worker") as (worker, worker_id),
        running(container, "serve", "--port", port) as (api, api_id),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client,
    ):
        assert client.get("/health").status_code == 200
        client.headers["Authorization"] = f"Bearer {KEY}"
        turn = client.post("/chat", json={"question": "정산은 언제 되나요?"})
        assert "event: delta" in turn.text
        assert "event: turn.completed" in turn.text
        for process, number in ((api, api_id), (worker, worker_id)):
            os.kill(number, signal.SIGTERM)
            wait_until(lambda ended=process: ended.poll() is not None, timeout_s=40)
            assert process.returncode == 0
