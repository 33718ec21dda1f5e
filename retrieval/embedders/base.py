"""The embedder seam: texts in, vectors out. Knows nothing of FAQs or indexes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Embeddings:
    """One batch of embedded texts.

    Attributes:
        dense: `(n, dim)` float32, L2-normalised.
        sparse: per text, token id to weight (learned lexical weights, bge-m3), or None
            where the embedder has none: the search then uses BM25.
        plain: the vectors before an adapter changed them, None where there is no adapter.
    """

    dense: NDArray[np.float32]
    sparse: tuple[dict[int, float], ...] | None = None
    plain: NDArray[np.float32] | None = None


class Embedder(Protocol):
    """Turns questions and passages into vectors; thread-safe, blocking.

    `name` identifies model and precision: it is part of the index fingerprint.
    """

    name: str
    dim: int

    def embed_queries(self, texts: Sequence[str]) -> Embeddings:
        """Embeds questions. Raises `EmbedderError`."""
        ...

    def embed_passages(self, texts: Sequence[str]) -> Embeddings:
        """Embeds passages. Raises `EmbedderError`."""
        ...
