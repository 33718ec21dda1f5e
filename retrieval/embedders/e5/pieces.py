"""The vocabulary of XLM-RoBERTa and how a text is split into its pieces: the likeliest way of all.

Unigram segmentation by Viterbi's algorithm: Kudo 2018, arXiv:1804.10959.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

_SPACE = "\u2581"  # what stands for a space in a piece
_SPACES = re.compile(" {2,}")
_UNKNOWN_COSTS = 10.0


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
        """Makes a dictionary of the pieces (0.1 s for 250,000).

        Args:
            letters: all pieces one after another, UTF-8.
            offsets: where each begins in `letters`, and where the last ends.
            scores: log probability of each.
            normal: characters by code, and what stands for them.
            begin, end, unknown: numbers of the pieces around a text, and of a character that is in no piece.
        """
        begins = (np.frombuffer(letters, np.uint8) & 0xC0) != 0x80  # not a later byte of a character
        at = np.concatenate([[0], np.cumsum(begins)])[offsets].tolist()
        text = letters.decode()
        names = [text[start:stop] for start, stop in pairwise(at)]
        # Of two pieces with one name the first counts.
        self._numbers = dict(zip(reversed(names), range(len(names) - 1, -1, -1), strict=True))
        del self._numbers[names[unknown]]
        self._scores = scores.tolist()
        self._unknown_score = min(self._scores) - _UNKNOWN_COSTS
        self._longest = max(map(len, names))
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
        for start in range(size):
            score = best[start]
            for stop in range(start + 1, min(size, start + self._longest) + 1):
                number = self._numbers.get(text[start:stop])
                if number is not None and score + self._scores[number] > best[stop]:
                    best[stop], came[stop] = score + self._scores[number], (start, number)
            if score + self._unknown_score > best[start + 1]:
                best[start + 1], came[start + 1] = score + self._unknown_score, (start, self._unknown)
        found = []
        while size:
            size, number = came[size]
            found.append(number)
        return found[::-1]
