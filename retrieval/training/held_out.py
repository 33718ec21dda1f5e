"""Searchers for training: the whole index, and the index without the very line that is asked.

An expansion that is searched finds itself; to be a fair example it must be asked of an index that lacks it.
Knows rows and their keys; does not know what is trained.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from retrieval.corpus.faq import Faq
from retrieval.embedders.base import Embedder
from retrieval.index.memory import MemoryIndex
from retrieval.index.rows import IndexRows
from retrieval.ranking.ranker import Ranker
from retrieval.search import Searcher
from retrieval.tokenizer import KoreanTokenizer

# A quarter of the expansions is hidden at a time: a seller's question, too, is near some of the others.
_PARTS = 4


@dataclass(frozen=True)
class HeldOut:
    """A corpus ready to be asked by its own expansions.

    Attributes:
        faqs: in the order of ids.
        expansions: of each FAQ, in the order of their row numbers.
        full: searches everything.
        parts: `parts[n]` lacks the expansions whose texts fall to part n, whichever FAQ they are of.
    """

    faqs: Sequence[Faq]
    expansions: Mapping[str, tuple[str, ...]]
    full: Searcher
    parts: tuple[Searcher, ...]

    def without(self, text: str) -> Searcher:
        """The searcher that lacks this expansion, and some of every FAQ's others."""
        return self.parts[_part(text)]


def held_out(
    rows: IndexRows,
    expansions: Mapping[str, Sequence[str]],
    embedder: Embedder,
    tokenizer: KoreanTokenizer,
    ranker: Ranker,
) -> HeldOut:
    """Splits `rows` into the searchers."""

    def searcher(name: str, keep: Callable[[str], bool]) -> Searcher:
        index = MemoryIndex(_only(rows, keep), fingerprint=f"calibration-{name}")
        return Searcher(index, embedder, tokenizer, ranker)

    faqs = tuple(rows.faqs[id] for id in sorted(rows.faqs))
    known = {faq.id: tuple(expansions.get(faq.id, ())) for faq in faqs}

    def lacks(part: int) -> Callable[[str], bool]:
        def kept(key: str) -> bool:
            number = _number(key)
            return number is None or _part(known[key.partition(":")[0]][number]) != part

        return kept

    parts = tuple(searcher(str(part), lacks(part)) for part in range(_PARTS))
    return HeldOut(faqs, known, searcher("full", lambda _: True), parts)


def _part(text: str) -> int:
    return zlib.crc32(text.encode()) % _PARTS


def _number(key: str) -> int | None:
    view = key.partition(":")[2]
    return int(view.removeprefix("expansion")) if view.startswith("expansion") else None


def _only(rows: IndexRows, keep: Callable[[str], bool]) -> IndexRows:
    kept = [n for n, key in enumerate(rows.keys) if keep(key)]
    return IndexRows(
        keys=tuple(rows.keys[n] for n in kept),
        faq_ids=tuple(rows.faq_ids[n] for n in kept),
        views=tuple(rows.views[n] for n in kept),
        dense=rows.dense[np.array(kept, np.int64)],
        tokens=tuple(rows.tokens[n] for n in kept),
        sparse=None if rows.sparse is None else tuple(rows.sparse[n] for n in kept),
        faqs=rows.faqs,
    )
