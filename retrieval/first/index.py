"""The first answer of a new corpus: an index of its words, while its vectors are being computed.

A title or answer without a vector borrows the mean of its FAQ's other ways of asking, whose vectors come
along; where there is none it has none, and words alone find it. Knows rows; stores nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.corpus.faq import Corpus
from retrieval.embedders.adapter import AdaptedEmbedder, normalised
from retrieval.embedders.base import Embedder
from retrieval.embedders.remembered import RememberingEmbedder, base_of
from retrieval.index.base import FaqIndex
from retrieval.index.memory import MemoryIndex
from retrieval.index.rows import IndexRows, ViewText, view_texts
from retrieval.tokenizer import KoreanTokenizer


@dataclass(slots=True)
class BuildProgress:
    """How far the build is that takes this index's place."""

    step: str = "read"
    done: int = 0
    total: int = 0
    failed: str = ""


class FirstIndex(MemoryIndex):
    """What can be searched before a build is done.

    Attributes:
        progress: of that build.
    """

    def __init__(self, rows: IndexRows, *, fingerprint: str) -> None:
        """`fingerprint` is that of the build which will take its place."""
        super().__init__(rows, fingerprint=f"first-{fingerprint}")
        self.progress = BuildProgress()


def build_progress(index: FaqIndex) -> dict[str, str | int] | None:
    """How far the missing build is; None where it is there."""
    return asdict(index.progress) if isinstance(index, FirstIndex) else None


def first_index(
    corpus: Corpus,
    expansions: Mapping[str, Sequence[str]],
    embedder: Embedder,
    tokenizer: KoreanTokenizer,
    *,
    fingerprint: str,
) -> FirstIndex:
    """Makes the index out of words and the vectors that `embedder` remembers; embeds nothing.

    Args:
        corpus: the FAQs.
        expansions: other ways of asking, by FAQ id.
        embedder: as `remembered` gives it.
        tokenizer: makes the search terms.
        fingerprint: of the build that will take its place.
    """
    views = view_texts(corpus.faqs, expansions)
    dense, known = _remembered_vectors(views, embedder)
    _lend(views, dense, known)
    rows = IndexRows(
        keys=tuple(view.key for view in views),
        faq_ids=tuple(view.faq_id for view in views),
        views=tuple(view.view for view in views),
        dense=dense,
        tokens=tuple(tokenizer.tokens_of([view.text for view in views])),
        sparse=None,
        faqs=corpus.by_id,
    )
    return FirstIndex(rows, fingerprint=fingerprint)


def _remembered_vectors(
    views: Sequence[ViewText], embedder: Embedder
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """`(views, dim)` vectors, zero where none is remembered, and which are."""
    dense = np.zeros((len(views), embedder.dim), np.float32)
    known = np.zeros(len(views), np.bool_)
    memory = base_of(embedder)
    if not isinstance(memory, RememberingEmbedder):
        return dense, known
    asked = np.array([view.is_query for view in views])
    for n, view in enumerate(views):
        if (vector := memory.look_up("query" if view.is_query else "passage", view.embedded)) is not None:
            dense[n], known[n] = vector, True
    if isinstance(embedder, AdaptedEmbedder):
        for which, adapt in ((asked, embedder.adapter.queries), (~asked, embedder.adapter.passages)):
            dense[which & known] = adapt(dense[which & known])
    return dense, known


def _lend(views: Sequence[ViewText], dense: NDArray[np.float32], known: NDArray[np.bool_]) -> None:
    """Gives rows without a vector the mean of their FAQ's others.

    Measured with no vector of a title or answer: recall@5 0.905 on questions in sellers' own words, 0.911
    with all vectors, 0.777 with words alone.
    """
    position: dict[str, int] = {}
    owners = np.array([position.setdefault(view.faq_id, len(position)) for view in views], np.int64)
    means = np.zeros((len(position), dense.shape[1]), np.float32)
    np.add.at(means, owners[known], dense[known])
    dense[~known] = normalised(means)[owners[~known]]
