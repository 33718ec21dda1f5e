"""Corpora of any size out of a real one: names, numbers and wordings exchanged, vectors moved along.

A copy of a FAQ speaks of something else: up to three of its title's rarest words are exchanged for words of
other titles, or for new names, and its numbers for others, the same way in all its rows. Its vectors move by
the difference of two other FAQs' titles, which keeps them among real ones, and a little each for itself.
Nothing is embedded or split into words. Each copy is made from its number alone, so that a corpus larger than
memory is made, and made again, a part at a time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from sys import intern

import numpy as np
from numpy.typing import NDArray

from retrieval.corpus.faq import Faq
from retrieval.index.base import IndexQuery
from retrieval.index.bm25 import Bm25Statistics
from retrieval.index.rows import IndexRows

# A copy's title lies nearer to its original's (cosine 0.77 to 0.90, the outer tenths left out) than real
# titles to the nearest of the others (0.54 to 0.85): grown FAQs are harder to tell apart than real ones.
_MOVES = (0.3, 0.6)
_ALONE = 0.15
_EXCHANGED = 3
_NEW_NAMES = 0.2
_DIGITS = "0123456789"


@dataclass(frozen=True)
class _Source:
    """The real corpus, row numbers by FAQ."""

    rows: IndexRows
    ids: tuple[str, ...]
    members: Mapping[str, tuple[int, ...]]
    titles: NDArray[np.int64]
    rare: Mapping[str, tuple[str, ...]]
    words: tuple[str, ...]


def grown(base: IndexRows, faqs: int, *, part: int, seed: int = 7) -> Iterator[IndexRows]:
    """The base with as many copies of its FAQs as make `faqs` of them, `part` FAQs at a time."""
    source = _source(base)
    for start in range(0, faqs, part):
        yield _part(source, range(start, min(start + part, faqs)), seed)


def queries(rows: IndexRows, count: int, *, seed: int = 11) -> Iterator[tuple[str, IndexQuery]]:
    """FAQs and questions near them: an expansion without one of its words, its vector a little beside."""
    random = np.random.default_rng(seed)
    expansions = [n for n, view in enumerate(rows.views) if view == "expansion"]
    for n in random.choice(expansions, size=count, replace=False):
        words = list(rows.tokens[n])
        if len(words) > 2:
            words.pop(int(random.integers(len(words))))
        vector = _unit(rows.dense[n] + _ALONE * _unit(random.standard_normal(rows.dense.shape[1])))
        yield rows.faq_ids[n], IndexQuery(" ".join(words), vector.astype(np.float32), tuple(words))


def _part(source: _Source, numbers: range, seed: int) -> IndexRows:
    """The FAQs of these numbers: the first ones are the base's own."""
    base = source.rows
    copies = [source.ids[n % len(source.ids)] for n in numbers]
    dense = np.empty((sum(len(source.members[id]) for id in copies), base.dense.shape[1]), np.float32)
    keys: list[str] = []
    owners: list[str] = []
    tokens: list[tuple[str, ...]] = []
    views = []
    whole: dict[str, Faq] = {}
    for n, id in zip(numbers, copies, strict=True):
        rows, start = list(source.members[id]), len(keys)
        faq, words = base.faqs[id], [base.tokens[row] for row in rows]
        dense[start : start + len(rows)] = base.dense[rows]
        if n >= len(source.ids):
            random = np.random.default_rng((seed, n))
            faq, words = _exchanged(source, id, words, random)
            dense[start : start + len(rows)] = _moved(source, rows, random)
        keys += [f"{faq.id}:{base.keys[row].partition(':')[2]}" for row in rows]
        owners += [faq.id] * len(rows)
        views += [base.views[row] for row in rows]
        tokens += words
        whole[faq.id] = faq
    return IndexRows(tuple(keys), tuple(owners), tuple(views), dense, tuple(tokens), None, whole)


def _source(base: IndexRows) -> _Source:
    members: dict[str, list[int]] = {}
    for row, id in enumerate(base.faq_ids):
        members.setdefault(id, []).append(row)
    statistics = Bm25Statistics.of(base.tokens)
    titles = [row for row, view in enumerate(base.views) if view == "question"]
    rare = {
        base.faq_ids[row]: tuple(
            sorted((t for t in set(base.tokens[row]) if len(t) > 1), key=lambda t: (-statistics.idf(t), t))
        )
        for row in titles
    }
    words = tuple(sorted({word for of in rare.values() for word in of}))
    ids = tuple(sorted(members))
    whole = {id: tuple(rows) for id, rows in members.items()}
    return _Source(base, ids, whole, np.array(titles), rare, words)


def _exchanged(
    source: _Source, id: str, words: Sequence[tuple[str, ...]], random: np.random.Generator
) -> tuple[Faq, list[tuple[str, ...]]]:
    """The FAQ and its rows' words with names and numbers exchanged."""
    exchange = {word: _other(source, random) for word in source.rare[id][:_EXCHANGED]}
    turn = int(random.integers(1, 10))
    numbers = str.maketrans(_DIGITS, _DIGITS[turn:] + _DIGITS[:turn])

    def said(text: str) -> str:
        for word, other in exchange.items():
            text = text.replace(word, other)
        return text.translate(numbers)

    faq = source.rows.faqs[id]
    name = hashlib.blake2b(
        f"{id}{exchange}{turn}{random.integers(2**60)}".encode(), digest_size=6
    ).hexdigest()
    copy = replace(
        faq, id=name, question=said(faq.question), answer=said(faq.answer), title=said(faq.title), related=()
    )
    # Equal words are one string: a large corpus holds tens of millions of them.
    spoken = {word: intern(exchange.get(word, word).translate(numbers)) for row in words for word in row}
    return copy, [tuple(spoken[word] for word in row) for row in words]


def _other(source: _Source, random: np.random.Generator) -> str:
    """A word of another title, or a new name: a larger corpus knows more names."""
    if random.random() < _NEW_NAMES:
        return "".join(chr(0xAC00 + 28 * int(random.integers(399))) for _ in range(3))
    return source.words[int(random.integers(len(source.words)))]


def _moved(source: _Source, rows: Sequence[int], random: np.random.Generator) -> NDArray[np.float32]:
    """The vectors of one copy: moved together, and each a little for itself."""
    dense = source.rows.dense
    one, other = random.choice(source.titles, size=2)
    together = random.uniform(*_MOVES) * (dense[one] - dense[other])
    alone = random.standard_normal((len(rows), dense.shape[1]))
    return _unit(dense[list(rows)] + together + _ALONE * _unit(alone)).astype(np.float32)


def _unit(vectors: NDArray[np.floating]) -> NDArray[np.floating]:
    unit: NDArray[np.floating] = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return unit
