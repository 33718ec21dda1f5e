"""Keeps a model's reasoning out of what the seller reads, while the text streams.

Knows the tags models think in; knows nothing of where the text comes from.
"""

from __future__ import annotations

import re

_TAG = re.compile(r"<(?P<end>/?)think(?:ing)?\s*>", re.IGNORECASE)
# Whatever could still become a tag.
_BEGINNING = re.compile(r"<(?:/?(?:t(?:h(?:i(?:n(?:k(?:i(?:n(?:g)?)?)?)?)?)?)?)?\s{0,8})?\Z", re.IGNORECASE)


class ReasoningFilter:
    """Drops `<think>…</think>` and the blank space before the answer, however the text is cut up.

    A block that is never closed is dropped to its end; a closing tag alone is dropped as a tag.

    Args:
        opened: the text begins inside a block (some chat templates write the opening tag themselves).
    """

    def __init__(self, *, opened: bool = False) -> None:
        self._inside, self._held, self._begun = opened, "", False

    @property
    def inside(self) -> bool:
        """A block has begun and not ended."""
        return self._inside

    def feed(self, text: str) -> str:
        """Takes the next piece and returns what can be shown now (possibly nothing)."""
        text = self._held + text
        shown: list[str] = []
        done = 0
        for tag in _TAG.finditer(text):
            if not self._inside:
                shown.append(text[done : tag.start()])
            self._inside, done = not tag["end"], tag.end()
        held = _BEGINNING.search(text, done)
        end = held.start() if held else len(text)
        self._held = text[end:]
        if not self._inside:
            shown.append(text[done:end])
        return self._trimmed("".join(shown))

    def flush(self) -> str:
        """Returns what was held back at the end of the text."""
        rest, self._held = self._held, ""
        return "" if self._inside else self._trimmed(rest)

    def _trimmed(self, text: str) -> str:
        if not self._begun:
            text = text.lstrip()
            self._begun = bool(text)
        return text
