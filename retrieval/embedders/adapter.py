"""Fits an embedder's vectors to a domain: one matrix for questions, one for passages.

They are trained so that the ways of asking for one FAQ, its title and its answer come together and other
FAQs move away. Knows no index; `retrieval/training/adapter.py` makes the matrices.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from retrieval.embedders.base import Embedder, Embeddings
from retrieval.errors import EmbedderError

ADAPTERS = Path(__file__).resolve().parent.parent.parent / "configs" / "ranking"


@dataclass(frozen=True)
class Adapter:
    """Linear maps for the two kinds of texts.

    Attributes:
        base: name of the embedder it was trained on; it fits no other.
        query, passage: `(dim, dim)` float32, near the identity.
    """

    base: str
    query: NDArray[np.float32]
    passage: NDArray[np.float32]

    @cached_property
    def version(self) -> str:
        """8 hex digits that change with any weight."""
        digest = hashlib.blake2b(self.base.encode(), digest_size=4)
        for part in (self.query, self.passage):
            digest.update(part.astype(np.float16).tobytes())
        return digest.hexdigest()

    @property
    def name(self) -> str:
        """What the adapted embedder is called."""
        return f"{self.base}+{self.version}"

    def queries(self, dense: NDArray[np.float32]) -> NDArray[np.float32]:
        """Adapts `(n, dim)` vectors of questions; L2-normalised."""
        return normalised(dense @ self.query.T)

    def passages(self, dense: NDArray[np.float32]) -> NDArray[np.float32]:
        """Adapts `(n, dim)` vectors of passages; L2-normalised."""
        return normalised(dense @ self.passage.T)

    def save(self, path: Path) -> None:
        """Writes the adapter in half precision."""
        header = np.frombuffer(json.dumps({"base": self.base}).encode(), np.uint8)
        query, passage = self.query.astype(np.float16), self.passage.astype(np.float16)
        with path.open("wb") as file:
            np.savez_compressed(file, header=header, query=query, passage=passage)

    @classmethod
    def load(cls, path: Path) -> Adapter:
        """Reads what `save` wrote. Raises `EmbedderError` where the file is missing or damaged."""
        try:
            with np.load(path, allow_pickle=False) as arrays:
                base = str(json.loads(arrays["header"].tobytes())["base"])
                return cls(base, arrays["query"].astype(np.float32), arrays["passage"].astype(np.float32))
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as exc:
            message = f"adapter {path} cannot be read: {exc}; run `smartstore train-ranker`"
            raise EmbedderError(message) from exc


class AdaptedEmbedder:
    """An embedder with its adapter; thread-safe as the embedder is."""

    def __init__(self, inner: Embedder, adapter: Adapter) -> None:
        """Joins them.

        Raises:
            EmbedderError: the adapter was trained on another embedder.
        """
        if adapter.base != inner.name:
            raise EmbedderError(f"the adapter is for {adapter.base}, not for {inner.name}")
        self.inner, self.adapter = inner, adapter
        self.name, self.dim = adapter.name, inner.dim

    def embed_queries(self, texts: Sequence[str]) -> Embeddings:
        """Embeds questions."""
        plain = self.inner.embed_queries(texts)
        return Embeddings(self.adapter.queries(plain.dense), plain.sparse, plain.dense)

    def embed_passages(self, texts: Sequence[str]) -> Embeddings:
        """Embeds passages."""
        plain = self.inner.embed_passages(texts)
        return Embeddings(self.adapter.passages(plain.dense), plain.sparse)


def adapted(inner: Embedder, folder: Path = ADAPTERS) -> Embedder:
    """`inner` with the adapter in `folder` that was trained on it, or `inner` itself where there is none.

    Raises:
        EmbedderError: an adapter is damaged.
    """
    for path in sorted(folder.glob("*.npz")):
        adapter = Adapter.load(path)
        if adapter.base == inner.name:
            return AdaptedEmbedder(inner, adapter)
    return inner


def normalised(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows scaled to length 1; a row of zeros stays."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    result: NDArray[np.float32] = (vectors / np.maximum(lengths, np.float32(1e-9))).astype(np.float32)
    return result
