"""Ends an answer where its caller asked for: at a stop sequence, or after so many tokens.

Knows text that arrives in pieces; nothing of who writes it. What it returns does not depend on
how the answer was cut into pieces.
"""

from __future__ import annotations

from collections.abc import Sequence

# The count that providers without a model use, too: Korean text has about two characters a token.
_CHARS_PER_TOKEN = 2


class AnswerBounds:
    """Passes an answer on as it arrives, until it has to end.

    Attributes:
        ended: nothing more may be shown.
        truncated: it was the length that ended it.

    Args:
        stop: sequences that end the answer and are not shown; empty ones are ignored.
        max_tokens: bound on the length, where nobody else keeps it; None for no bound.
    """

    def __init__(self, stop: Sequence[str] = (), max_tokens: int | None = None) -> None:
        self._stop = [each for each in stop if each]
        self._left = None if max_tokens is None else max_tokens * _CHARS_PER_TOKEN
        self._held = ""
        self.ended, self.truncated = False, False

    def feed(self, text: str) -> str:
        """Takes the next piece and returns what can be shown now (possibly nothing)."""
        if self.ended:
            return ""
        text = self._held + text
        found = [at for each in self._stop if (at := text.find(each)) >= 0]
        if found:
            self.ended, self._held = True, ""
            return self._shortened(text[: min(found)])
        keep = max((_beginning(text, each) for each in self._stop), default=0)
        self._held = text[len(text) - keep :]
        return self._shortened(text[: len(text) - keep])

    def flush(self) -> str:
        """Returns what was held back at the end of the answer."""
        rest, self._held = self._held, ""
        return "" if self.ended else self._shortened(rest)

    def _shortened(self, text: str) -> str:
        if self._left is None:
            return text
        shown = text[: self._left]
        self._left -= len(shown)
        if len(shown) < len(text):
            self.ended = self.truncated = True
        return shown


def _beginning(text: str, stop: str) -> int:
    """How many characters at the end of `text` may be the beginning of `stop`."""
    for size in range(min(len(stop) - 1, len(text)), 0, -1):
        if text.endswith(stop[:size]):
            return size
    return 0
