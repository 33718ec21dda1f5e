"""A history on each kind of database: a SQLite file, and a PostgreSQL cluster of the tests' own."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from api.history.database import database_url, open_database, upgrade
from api.history.store import History
from tests.conftest import free_port, wait_until

BINARIES = [Path("/usr/lib/postgresql/15/bin"), *sorted(Path("/usr/lib/postgresql").glob("*/bin"))]


class Postgres:
    """A PostgreSQL cluster in a folder of its own; may be stopped and started again."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self.binaries, self.folder, self.port = binaries, folder, free_port()
        # PostgreSQL refuses to run as root.
        self._as: dict[str, Any] = {}
        if os.getuid() == 0:
            user = pwd.getpwnam("nobody")
            os.chown(folder, user.pw_uid, user.pw_gid)
            self._as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self.run("initdb", "-A", "trust", "-U", "smartstore", "--no-sync", "-D", str(folder / "data"))
        self.start()

    def run(self, program: str, *arguments: str) -> None:
        command = [str(self.binaries / program), *arguments]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, **self._as)
        assert done.returncode == 0, done.stderr + done.stdout

    def start(self) -> None:
        options = ["-p", str(self.port), "-k", str(self.folder), "-c", "listen_addresses=127.0.0.1"]
        command = [str(self.binaries / "postgres"), "-D", str(self.folder / "data"), "-F", *options]
        self._log = (self.folder / "log").open("a")
        self.server = subprocess.Popen(command, cwd=self.folder, stderr=self._log, **self._as)
        ready = [str(self.binaries / "pg_isready"), "-h", "127.0.0.1", "-p", str(self.port)]
        wait_until(lambda: subprocess.run(ready, stdout=subprocess.DEVNULL).returncode == 0)

    def stop(self) -> None:
        # At once, with clients or without.
        self.server.send_signal(signal.SIGQUIT)
        self.server.wait(60)
        self._log.close()

    def database(self) -> str:
        """The URL of a new, empty database."""
        name = f"h{secrets.token_hex(4)}"
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "smartstore"]
        self.run("createdb", *where, name)
        return f"postgresql://smartstore@127.0.0.1:{self.port}/{name}"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A running cluster; skips, loudly, where PostgreSQL is not installed."""
    binaries = next((path for path in BINARIES if (path / "initdb").exists()), None)
    if binaries is None:
        pytest.skip("NOT TESTED against PostgreSQL: no initdb below /usr/lib/postgresql")
    folder = Path(tempfile.mkdtemp(prefix="smartstore-pg-"))
    cluster = Postgres(binaries, folder)
    yield cluster
    cluster.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/history.db"
    url: str = request.getfixturevalue("postgres").database()
    return url


@pytest.fixture
async def history(database: str) -> AsyncIterator[History]:
    """An upgraded history on each kind of database."""
    async with open_database(database_url(database, default=Path("unused"))) as engine:
        await upgrade(engine)
        yield History(engine)
