"""Fixtures of the API's tests: one built index and one running server for the whole run."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.api.live import ROOT, SMARTSTORE, Live, environment, serve


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A data folder that holds the index of the bundled sample; built again only when it is stale."""
    kept = Path(request.config.cache.mkdir("sample-index"))
    folder = tmp_path_factory.mktemp("var")
    with (kept / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(
            [*SMARTSTORE, "index", "build"], cwd=ROOT, env=environment(kept), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        shutil.copytree(kept / "index", folder / "index")
    return folder


@pytest.fixture(scope="session")
def live(data_dir: Path) -> Iterator[Live]:
    """A running server on the bundled sample."""
    with serve(data_dir) as server:
        yield server


@pytest.fixture
def client(live: Live) -> Iterator[httpx.Client]:
    """An HTTP client of the running server."""
    with live.client() as http:
        yield http
