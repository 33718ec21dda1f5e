"""Checks the citations `[n]` of an answer while it streams. Knows no passages, providers or events."""

from __future__ import annotations

import re

from retrieval.quoting.citations import BEGINNING, CITATION, numbers_of


class CitationFilter:
    """Passes an answer on as it arrives, without citations of passages that were not given.

    What it returns does not depend on how the answer was cut into pieces.

    Attributes:
        cited: valid passage numbers in order of first appearance.
        dropped: how many citations were removed.

    Args:
        passages: how many passages were given; 1 to `passages` are valid.
    """

    def __init__(self, passages: int) -> None:
        self._passages = passages
        self._held = ""
        self.cited: list[int] = []
        self.dropped = 0

    def feed(self, text: str) -> str:
        """Takes the next piece and returns what can be shown now (possibly nothing)."""
        text = self._held + text
        done = 0
        shown: list[str] = []
        for match in CITATION.finditer(text):
            shown += (text[done : match.start()], self._checked(match))
            done = match.end()
        held = BEGINNING.search(text, done)
        end = held.start() if held else len(text)
        self._held = text[end:]
        return "".join((*shown, text[done:end]))

    def flush(self) -> str:
        """Returns what was held back at the end of the answer."""
        rest, self._held = self._held, ""
        return rest

    def _checked(self, match: re.Match[str]) -> str:
        numbers = numbers_of(match)
        valid = [number for number in numbers if 1 <= number <= self._passages]
        self.dropped += len(numbers) - len(valid)
        self.cited += (number for number in dict.fromkeys(valid) if number not in self.cited)
        if not valid:
            return ""
        space = " " if match[0].startswith(" ") else ""
        return space + "".join(f"[{number}]" for number in valid)
