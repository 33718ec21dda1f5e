"""What a process opens when it starts, and what it leaves behind."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from api import services
from api.indexing import edited, opening
from api.settings import RerankerSettings, load_settings
from api.state import connection
from tests.api.live import serve


async def test_starting_opens_the_embedder_the_corpus_and_the_store_once(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def count(module: Any, name: str) -> None:
        open_it: Callable[..., Any] = getattr(module, name)

        def counting(*args: Any, **options: Any) -> Any:
            opened.append(name)
            return open_it(*args, **options)

        monkeypatch.setattr(module, name, counting)

    count(opening, "embedder_of")
    count(edited, "open_corpus")
    count(connection, "embedded_valkey")
    settings = load_settings().model_copy(update={"data_dir": data_dir})
    async with services.open_services(settings):
        pass
    assert sorted(opened) == ["embedded_valkey", "embedder_of", "open_corpus"]


def test_a_server_that_is_told_to_end_closes_what_it_opened(data_dir: Path, tmp_path: Path) -> None:
    # A folder of its own: the store of a shared one lives on for the other servers there.
    shutil.copytree(data_dir / "index", tmp_path / "index")
    with serve(tmp_path) as server:
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60) == 0
    assert "bye bye" in (tmp_path / "state" / "valkey.log").read_text().splitlines()[-1]


@pytest.mark.parametrize(
    ("chosen", "says"),
    [
        ({"model": "BAAI/bge-reranker-v2-m3"}, "name says none"),
        ({"name": "remote"}, "remote needs base_url"),
        ({"name": "tei", "model": "m"}, "tei needs base_url"),
    ],
)
def test_a_reranker_that_would_do_nothing_is_refused(chosen: dict[str, str], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        RerankerSettings(**chosen)
