"""Finds the numbers of numbered lists that a crawl ran together.

A number opens a list item after a sentence or a gap, and elsewhere only where it continues a sequence; so
decimals, dates, prices and references to a step stay where they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_NUMBER = re.compile(r"\d{1,2}[.)]|\(\d{1,2}\)|\d단계(?=\s?[:.])|[①-⑳]")
_NOT_BEFORE = re.compile(r"(?:[\d,~/\-:#a-zAQ]|\d\.[ \xa0]?|(?:[a-z]|[A-Z]{2})[ \xa0]|예시[ \xa0]?)$")
_AFTER = re.compile(r"(?:[ \xa0]|[가-힣\['\"‘“<(A-Z:]|STEP)(?<!\n)")
_NOT_AFTER = re.compile(r"\s*[~,+)]|번[ \xa0에의을]|[ \xa0]?\d{1,2}\.")
_STRONG = re.compile(r"(?:^|\n|[.?!]['\"’”)\]]?|[가-힣)][?!]|[》:\]]|\xa0)[ \xa0]*$")
_GLUED = re.compile(r"[가-힣)'\"’”%>A-Z]$")


def number_breaks(text: str) -> Iterator[int]:
    """Yields the positions at which a list number begins."""
    found = [found for match in _NUMBER.finditer(text) if (found := _candidate(match)) is not None]
    last: dict[str, int] = {}
    for index, (position, style, number) in enumerate(found):
        before = text[max(0, position - 6) : position]
        strong = bool(_STRONG.search(before))
        follows = number > 1 and number == last.get(style, 0) + 1
        starts = number == 1 and any((s, n) == (style, 2) for _, s, n in found[index + 1 : index + 30])
        if style in ("stage", "both"):
            accepted = (follows or starts) and (strong or bool(_GLUED.search(before)))
        elif before.rstrip()[-1:].isascii() and before.rstrip()[-1:].isalpha():
            accepted = follows
        else:
            accepted = (strong and number <= 30) or follows or (starts and not before.endswith(("(", ",")))
        if accepted:
            last[style] = number
            yield position


def _candidate(match: re.Match[str]) -> tuple[int, str, int] | None:
    """Position, style and value of a number that could open an item; None where it cannot."""
    text, start, end, mark = match.string, match.start(), match.end(), match[0]
    if not _AFTER.match(text, end) or _NOT_AFTER.match(text, end):
        return None
    if _NOT_BEFORE.search(text[max(0, start - 3) : start]):
        return None
    if "①" <= mark <= "⑳":
        return start, "circle", ord(mark) - ord("①") + 1
    digits = re.sub(r"\D", "", mark)
    style = {"(": "both", "계": "stage"}.get(mark[0] if mark[0] == "(" else mark[-1], mark[-1])
    return start, style, int(digits)
