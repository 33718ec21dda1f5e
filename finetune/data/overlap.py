"""Finds texts that say the same: normalised character n-grams, held in an inverted index.

Knows text alone; does not know what it is used against (validation, evaluation sets).
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from finetune.errors import DataError
from retrieval.quoting.citations import strip_citations

SIZE = 8
_NO_LETTER = re.compile(r"[\W_]+")
# Fields of an evaluation file that hold what a seller or an expected answer says.
_SAID = ("query", "user", "standalone", "text", "reference")


def normalise(text: str) -> str:
    """Lower-cased letters and digits, without citations, spaces or punctuation."""
    plain = unicodedata.normalize("NFKC", strip_citations(text)).lower()
    return _NO_LETTER.sub("", plain)


def grams(text: str, size: int = SIZE) -> set[str]:
    """The n-grams of the normalised text; the whole text where it is shorter than one."""
    plain = normalise(text)
    if len(plain) <= size:
        return {plain} if plain else set()
    return {plain[i : i + size] for i in range(len(plain) - size + 1)}


class Overlap:
    """Lines to keep out.

    A text holds a line where at least `share` of the line's n-grams occur in it. Lines of up to
    `SIZE` letters are too short for that: only a text equal to them holds them.
    """

    def __init__(self, lines: Iterable[str], *, share: float = 0.6) -> None:
        self._share = share
        self._sizes: list[int] = []
        self._lines: list[str] = []
        self._short: dict[str, int] = {}
        self._where: dict[str, list[int]] = defaultdict(list)
        for line in dict.fromkeys(lines):
            found = grams(line)
            if not found:
                continue
            number = len(self._lines)
            self._lines.append(line)
            self._sizes.append(len(found))
            if len(normalise(line)) <= SIZE:
                self._short[normalise(line)] = number
                continue
            for gram in found:
                self._where[gram].append(number)

    def __len__(self) -> int:
        return len(self._lines)

    def held(self, text: str) -> str | None:
        """The line that `text` holds most of, None where it holds none."""
        short = self._short.get(normalise(text))
        if short is not None:
            return self._lines[short]
        counts = Counter(n for gram in grams(text) for n in self._where.get(gram, ()))
        best = max(counts, key=lambda n: (counts[n] / self._sizes[n], -n), default=None)
        if best is None or counts[best] < self._share * self._sizes[best]:
            return None
        return self._lines[best]


def said_lines(folder: Path) -> list[str]:
    """Every question, turn and expected answer in a folder of evaluation files.

    Raises:
        DataError: a file there is no JSONL.
    """
    lines: list[str] = []
    for file in sorted(folder.glob("*.jsonl")):
        try:
            rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line]
        except (OSError, ValueError) as exc:
            raise DataError(f"{file}: is no JSONL file ({exc})") from exc
        for row in rows:
            lines += _said(row)
    return lines


def _said(row: dict[str, Any]) -> Iterator[str]:
    for key in _SAID:
        if isinstance(row.get(key), str):
            yield row[key]
    for turn in row.get("turns", ()):
        yield from _said(turn)
