"""The vocabulary of XLM-RoBERTa and how a text is split into its pieces: the likeliest way of all.

Unigram segmentation by Viterbi's algorithm: Kudo 2018, arXiv:1804.10959.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

_SPACE = "\u2581"  # what stands for a space in a piece
_SPACES = re.compile(" {2,}")
_UNKNOWN_COSTS = 10.0
_BASE = 0x9E3779B97F4A7C15  # any large odd number
_INVERSE = pow(_BASE, -1, 2**64)


class Pieces:
    """Texts to the numbers of their pieces; thread-safe."""

    def __init__(
        self,
        letters: bytes,
        offsets: NDArray[np.uint32],
        scores: NDArray[np.float32],
        normal: Mapping[int, str],
        *,
        begin: int,
        end: int,
        unknown: int,
    ) -> None:
        """Makes the table of the pieces (0.1 s for 250,000).

        Args:
            letters: all pieces one after another, UTF-8.
            offsets: where each begins in `letters`, and where the last ends.
            scores: log probability of each.
            normal: characters by code, and what stands for them.
            begin, end, unknown: numbers of the pieces around a text, and of a character that is in no piece.
        """
        begins = (np.frombuffer(letters, np.uint8) & 0xC0) != 0x80  # not a later byte of a character
        at = np.concatenate([[0], np.cumsum(begins)])[offsets]
        hashes = _Hashes(letters.decode()).of(at[:-1], at[1:])
        numbers = np.argsort(hashes, kind="stable")
        numbers = numbers[numbers != unknown]
        self._numbers, self._hashes, self._scores = numbers, hashes[numbers], scores[numbers]
        self._unknown_score = float(scores.min()) - _UNKNOWN_COSTS
        self._longest = int(np.diff(at).max())
        self._normal = dict(normal)
        self._begin, self._end, self._unknown = begin, end, unknown

    def numbers(self, text: str, *, most: int) -> list[int]:
        """The pieces of a text with those that begin and end it, at most `most` in all."""
        text = " " + _SPACES.sub(" ", text.translate(self._normal)).removeprefix(" ")
        return [self._begin, *self._split(text.replace(" ", _SPACE))[: most - 2], self._end]

    def _split(self, text: str) -> list[int]:
        size = len(text)
        best = [float("-inf")] * (size + 1)
        best[0] = 0.0
        came = [(0, self._unknown)] * (size + 1)  # where the best piece that ends here begins, and its number
        for start, pieces in enumerate(self._pieces(text)):
            score = best[start]
            for stop, number, gain in pieces:
                if score + gain > best[stop]:
                    best[stop], came[stop] = score + gain, (start, number)
            if score + self._unknown_score > best[start + 1]:
                best[start + 1], came[start + 1] = score + self._unknown_score, (start, self._unknown)
        found = []
        while size:
            size, number = came[size]
            found.append(number)
        return found[::-1]

    def _pieces(self, text: str) -> list[list[tuple[int, int, float]]]:
        """The pieces that begin at each character of `text`: where each stops, its number and its score."""
        starts = np.repeat(np.arange(len(text)), self._longest)
        stops = starts + np.tile(np.arange(1, self._longest + 1), len(text))
        inside = stops <= len(text)
        starts, stops = starts[inside], stops[inside]
        hashes = _Hashes(text).of(starts, stops)
        # Of two pieces with one name the first counts.
        at = np.minimum(np.searchsorted(self._hashes, hashes), len(self._hashes) - 1)
        known = self._hashes[at] == hashes
        at = at[known]
        found: list[list[tuple[int, int, float]]] = [[] for _ in text]
        columns = starts[known], stops[known], self._numbers[at], self._scores[at]
        for start, stop, number, score in zip(*(column.tolist() for column in columns), strict=True):
            found[start].append((stop, number, score))
        return found


class _Hashes:
    """Polynomial hashes, modulo 2^64, of the parts of a text: of thousands at once."""

    def __init__(self, text: str) -> None:
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64) + 1
        powers = np.cumprod(np.full(len(codes), _BASE, np.uint64))
        self._sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(codes * powers)])
        self._inverse = np.cumprod(np.full(len(codes), _INVERSE, np.uint64))

    def of(self, starts: NDArray[np.intp], stops: NDArray[np.intp]) -> NDArray[np.uint64]:
        """The hashes of the parts from `starts` to `stops`."""
        found: NDArray[np.uint64] = (self._sums[stops] - self._sums[starts]) * self._inverse[starts]
        return found
