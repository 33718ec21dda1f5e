"""Fits an embedder's vectors to a domain: adds what terms mean there, then changes the metric.

A text's vector and the mean of its terms' latent vectors (latent semantic analysis of the FAQ: words that
ask for the same FAQ lie close, `라방` and `쇼핑라이브`) are joined and multiplied by a matrix trained so
that ways of asking for one FAQ come together. Knows no index; `adapter_training.py` makes it.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from retrieval.embedders.base import Embedder, Embeddings
from retrieval.errors import EmbedderError
from retrieval.tokenizer import KoreanTokenizer

ADAPTERS = Path(__file__).resolve().parent.parent.parent / "configs" / "ranking"


@dataclass(frozen=True)
class TermSpace:
    """Latent vectors of terms.

    Attributes:
        rows: row of each known term.
        vectors: `(terms, latent)` float32, scaled by how much each term tells.
    """

    rows: Mapping[str, int]
    vectors: NDArray[np.float32]

    def embed(self, texts: Sequence[Sequence[str]]) -> NDArray[np.float32]:
        """Returns `(n, latent)` float32 of tokenised texts, L2-normalised; zeros where no term is known."""
        found = np.zeros((len(texts), self.vectors.shape[1]), np.float32)
        for n, terms in enumerate(texts):
            counts = Counter(row for term in terms if (row := self.rows.get(term)) is not None)
            if counts:
                weights = 1 + np.log(np.fromiter(counts.values(), np.float32, len(counts)))
                found[n] = weights @ self.vectors[list(counts)]
        return normalised(found)


@dataclass(frozen=True)
class Adapter:
    """Turns base vectors and terms into adapted vectors.

    Attributes:
        base: name of the embedder it was trained on; it fits no other.
        terms: what terms mean.
        weight: length of the term part beside a base vector of length 1.
        matrix: `(dim, dim)` float32 with dim = base dimensions + latent dimensions.
    """

    base: str
    terms: TermSpace
    weight: float
    matrix: NDArray[np.float32]

    @property
    def dim(self) -> int:
        """Size of an adapted vector."""
        return int(self.matrix.shape[0])

    @cached_property
    def version(self) -> str:
        """8 hex digits that change with any weight."""
        digest = hashlib.blake2b(digest_size=4)
        for part in (self.matrix, self.terms.vectors):
            digest.update(np.ascontiguousarray(part, np.float16).tobytes())
        digest.update(json.dumps([self.base, list(self.terms.rows), self.weight]).encode())
        return digest.hexdigest()

    def join(self, dense: NDArray[np.float32], texts: Sequence[Sequence[str]]) -> NDArray[np.float32]:
        """Returns `(n, dim)` float32, L2-normalised: base vectors beside the weighted term vectors."""
        return normalised(np.hstack([dense, np.float32(self.weight) * self.terms.embed(texts)]))

    def apply(self, dense: NDArray[np.float32], texts: Sequence[Sequence[str]]) -> NDArray[np.float32]:
        """Returns the adapted vectors, `(n, dim)` float32, L2-normalised.

        Args:
            dense: `(n, base dim)` float32, L2-normalised.
            texts: the terms of the same texts.
        """
        return normalised(self.join(dense, texts) @ self.matrix.T)

    def save(self, path: Path) -> None:
        """Writes the adapter in half precision."""
        header = json.dumps(
            {"base": self.base, "weight": self.weight, "terms": list(self.terms.rows)}, ensure_ascii=False
        )
        with path.open("wb") as file:
            np.savez_compressed(
                file,
                header=np.frombuffer(header.encode(), np.uint8),
                vectors=self.terms.vectors.astype(np.float16),
                matrix=self.matrix.astype(np.float16),
            )

    @classmethod
    def load(cls, path: Path) -> Adapter:
        """Reads what `save` wrote. Raises `EmbedderError` where the file is missing or damaged."""
        try:
            with np.load(path, allow_pickle=False) as arrays:
                header = json.loads(arrays["header"].tobytes())
                vectors = arrays["vectors"].astype(np.float32)
                matrix = arrays["matrix"].astype(np.float32)
            terms = TermSpace({term: n for n, term in enumerate(header["terms"])}, vectors)
            return cls(header["base"], terms, float(header["weight"]), matrix)
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as exc:
            raise EmbedderError(
                f"adapter {path} cannot be read: {exc}; run `smartstore train-ranker`"
            ) from exc


class AdaptedEmbedder:
    """An embedder with its adapter; thread-safe as the embedder is."""

    def __init__(self, inner: Embedder, adapter: Adapter, tokenizer: KoreanTokenizer) -> None:
        """Joins them.

        Raises:
            EmbedderError: the adapter was trained on another embedder.
        """
        if adapter.base != inner.name:
            raise EmbedderError(f"the adapter is for {adapter.base}, not for {inner.name}")
        self.inner, self.adapter, self._tokenizer = inner, adapter, tokenizer
        self.name = f"{inner.name}+{adapter.version}"
        self.dim = adapter.dim

    def embed_queries(self, texts: Sequence[str]) -> Embeddings:
        """Embeds questions."""
        return self._adapted(self.inner.embed_queries(texts), texts)

    def embed_passages(self, texts: Sequence[str]) -> Embeddings:
        """Embeds passages."""
        return self._adapted(self.inner.embed_passages(texts), texts)

    def _adapted(self, plain: Embeddings, texts: Sequence[str]) -> Embeddings:
        terms = [self._tokenizer.tokens(text) for text in texts]
        return Embeddings(self.adapter.apply(plain.dense, terms), plain.sparse)


def adapted(inner: Embedder, folder: Path = ADAPTERS) -> Embedder:
    """`inner` with the adapter in `folder` that was trained on it, or `inner` itself where there is none.

    Raises:
        EmbedderError: an adapter is damaged.
    """
    for path in sorted(folder.glob("*.npz")):
        adapter = Adapter.load(path)
        if adapter.base == inner.name:
            return AdaptedEmbedder(inner, adapter, KoreanTokenizer())
    return inner


def normalised(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows scaled to length 1; a row of zeros stays."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    result: NDArray[np.float32] = (vectors / np.maximum(lengths, np.float32(1e-9))).astype(np.float32)
    return result
