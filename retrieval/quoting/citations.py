"""The one grammar of citations: `[1]`, `[1, 2]` and `［1］`.

Other brackets, such as `[상품관리 > 상품조회]` or `[2024]`, are text. Used where answers are streamed,
saved, measured and learned from, so that all of them mean the same by a citation.
"""

from __future__ import annotations

import re
from typing import Final

_OPEN, _CLOSE, _SEPARATOR = r"[\[［【]", r"[\]］】]", r"[,，、]"
# Longer lists are no citations: a prompt holds fewer passages.
_MOST = 8
CITATION: Final = re.compile(
    rf" ?{_OPEN} ?(?P<numbers>\d{{1,3}}(?: ?{_SEPARATOR} ?\d{{1,3}}){{0,{_MOST - 1}}}) ?{_CLOSE}"
)
# Whatever could still become a citation: never more than the longest one, so text is never held long.
BEGINNING: Final = re.compile(rf"(?: ?{_OPEN}[\d ,，、]{{0,{_MOST * 6}}}| )\Z")


def numbers_of(citation: re.Match[str]) -> list[int]:
    """The passage numbers of one match of `CITATION`."""
    return [int(number) for number in re.findall(r"\d+", citation["numbers"])]


def cited_numbers(text: str) -> tuple[int, ...]:
    """The passage numbers that a text cites, in order of first appearance."""
    return tuple(dict.fromkeys(n for match in CITATION.finditer(text) for n in numbers_of(match)))


def strip_citations(text: str) -> str:
    """Returns the text without any citation, e.g. to compare answers or to read them aloud."""
    return CITATION.sub("", text)
