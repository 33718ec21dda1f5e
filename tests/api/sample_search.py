"""The bundled sample behind a real search, opened once for all tests that need one."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from api.indexing.opening import open_searcher
from api.settings import load_settings
from retrieval.search import Searcher


@cache
def sample_searcher(data_dir: Path) -> Searcher:
    """The search over the index in `data_dir`, as the settings give it."""
    return open_searcher(load_settings().model_copy(update={"data_dir": data_dir}))
