"""Finds a model's answer that has left the rails: the same again and again, or in another language.

Knows text that arrives in pieces; does not know providers or events.
"""

from __future__ import annotations

import re
from collections import Counter

from api.conversation.checks.grounding import SENTENCE_END
from api.conversation.languages import holds_korean
from retrieval.quoting.citations import strip_citations
from retrieval.search import letters

_TIMES, _SHORTEST = 3, 8
# A run without an end of a sentence: two to forty characters, some of them letters, eight times in a row.
_RUN = re.compile(r"((?=.{0,39}?[가-힣A-Za-z]).{2,40}?)\1{7}\Z", re.DOTALL)
_TAIL = 8 * 40
# Menus and addresses in Latin letters may begin a Korean answer; a paragraph does not.
_FOREIGN = 60
_ADDRESS = re.compile(r"https?://\S+")


class RepetitionCheck:
    """Ends an answer at the third time that it says a sentence of eight letters or more.

    Attributes:
        found: it did; nothing more may be shown.
    """

    def __init__(self) -> None:
        self.found = False
        self._open, self._tail = "", ""
        self._said: Counter[str] = Counter()

    def feed(self, text: str) -> str:
        """Takes the next piece and returns what can be shown of it."""
        if self.found:
            return ""
        before, self._open = len(self._open), self._open + text
        done = 0
        for end in SENTENCE_END.finditer(self._open):
            sentence = letters(strip_citations(self._open[done : end.end()]))
            done = end.end()
            self._said[sentence] += 1
            if len(sentence) >= _SHORTEST and self._said[sentence] == _TIMES:
                self.found = True
                return self._open[before:done]
        self._open = self._open[done:]
        self._tail = (self._tail + text)[-_TAIL:]
        self.found = _RUN.search(self._tail) is not None
        return text


class KoreanCheck:
    """Holds an answer's beginning back until it has Hangul in it.

    Attributes:
        foreign: so much came without any that the answer is in another language; nothing of it was shown.
    """

    def __init__(self) -> None:
        self.foreign = False
        self._held: str | None = ""

    def feed(self, text: str) -> str:
        """Takes the next piece and returns what can be shown now (possibly nothing)."""
        if self._held is None:
            return text
        self._held += text
        if not holds_korean(self._held):
            self.foreign = len(letters(_ADDRESS.sub("", self._held))) >= _FOREIGN
            return ""
        released, self._held = self._held, None
        return released

    def flush(self) -> str:
        """Returns what was held back at the end of the answer: a short one, such as a number."""
        held, self._held = self._held or "", None
        return "" if self.foreign else held
