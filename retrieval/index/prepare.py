"""Vectors and search terms for the texts of a build, taken over from the build before where nothing changed.

Knows what may be re-used and how progress is told; does not know where rows are stored or searched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from retrieval.embedders.base import Embedder, Embeddings
from retrieval.index.rows import ViewText
from retrieval.tokenizer import KoreanTokenizer

_BATCH = 64

Progress = Callable[[str, int, int], None]
"""Called with the step (`tokenize`, `embed`, `store`, `titles`), how many texts are done, and of how many."""


@dataclass(frozen=True)
class Known:
    """What the build before knows, by `ViewText.text_hash`; empty where it cannot be re-used.

    Attributes:
        dense: `(dim,)` float32 per text.
        sparse: learned lexical weights per text.
        tokens: search terms per text.
    """

    dense: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    sparse: dict[str, dict[int, float]] = field(default_factory=dict)
    tokens: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Prepared:
    """Vectors and terms, one per view.

    Attributes:
        vectors: of all views, in their order.
        tokens: likewise.
        embedded: how many texts were embedded now; equal texts count once.
    """

    vectors: Embeddings
    tokens: tuple[tuple[str, ...], ...]
    embedded: int


def prepare(
    views: Sequence[ViewText],
    embedder: Embedder,
    tokenizer: KoreanTokenizer,
    known: Known,
    progress: Progress,
) -> Prepared:
    """Tokenises and embeds what is not known yet.

    Raises:
        EmbedderError: texts could not be embedded.
    """
    hashes = [view.text_hash for view in views]
    by_hash = dict(zip(hashes, views, strict=True))
    tokens = dict(known.tokens)
    missing = [h for h in by_hash if h not in tokens]
    for done, found in enumerate(tokenizer.tokens_of([by_hash[h].text for h in missing])):
        if done % _BATCH == 0:
            progress("tokenize", done, len(missing))
        tokens[missing[done]] = found
    progress("tokenize", len(missing), len(missing))
    dense, sparse = dict(known.dense), dict(known.sparse)
    missing = [h for h in by_hash if h not in dense]
    # Texts of like length together: a batch lasts as long as its longest text on padding engines.
    missing.sort(key=lambda h: (by_hash[h].is_query, len(by_hash[h].embedded)))
    for start in range(0, len(missing), _BATCH):
        progress("embed", start, len(missing))
        _embed(missing[start : start + _BATCH], by_hash, embedder, dense, sparse)
    progress("embed", len(missing), len(missing))
    vectors = Embeddings(
        np.stack([dense[h] for h in hashes]),
        tuple(sparse[h] for h in hashes) if sparse else None,
    )
    return Prepared(vectors, tuple(tokens[h] for h in hashes), len(missing))


def _embed(
    hashes: Sequence[str],
    by_hash: dict[str, ViewText],
    embedder: Embedder,
    dense: dict[str, NDArray[np.float32]],
    sparse: dict[str, dict[int, float]],
) -> None:
    for is_query in (False, True):
        group = [h for h in hashes if by_hash[h].is_query is is_query]
        if not group:
            continue
        embed = embedder.embed_queries if is_query else embedder.embed_passages
        found = embed([by_hash[h].embedded for h in group])
        dense.update(zip(group, found.dense, strict=True))
        if found.sparse is not None:
            sparse.update(zip(group, found.sparse, strict=True))
