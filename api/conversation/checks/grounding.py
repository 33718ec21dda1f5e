"""Finds sentences of an answer that say what the FAQ they cite does not: numbers, dates, amounts, menus.

A language model copies words well and figures badly, and a wrong fee or deadline costs a seller money.
Only what can be compared surely is compared; a sentence without figures or menus always passes.
Knows text and passages; does not know providers or events.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from retrieval.prompt import Passage
from retrieval.quoting.citations import CITATION, cited_numbers, strip_citations

# A sentence ends at a line's end, or at a full stop with its citations behind it; `1. ` begins an item.
_CITED = CITATION.pattern.replace("?P<numbers>", "?:")
SENTENCE_END = re.compile(rf"\n|(?<![\d.])[.!?](?:{_CITED})*\s+(?=[^\s\[［【])")
_ITEM = re.compile(r"^\s*(?:\d{1,2}[.)]|[-*·•])\s+")
_FIGURE = re.compile(
    r"(\d[\d,]*(?:\.\d+)?)\s*(만\s*원|천\s*원|원|%|퍼센트|프로(?!그램|모션|필)|[가-힣]{1,3}|[A-Za-z]{1,2})?"
)
_UNITS = {"퍼센트": "%", "프로": "%"}
_TIMES = {"만원": 10_000, "천원": 1_000}
_MENU = re.compile(r"[^\n\[\]<>.,()]{1,30}(?: ?> ?[^\n\[\]<>.,()]{1,30})+")
_BLANK = re.compile(r"\s+")


class GroundingCheck:
    """Watches an answer while it streams.

    Attributes:
        ungrounded: the sentences, without citations, that hold a figure or menu of no cited passage.

    Args:
        passages: what the model was given; a sentence without citation may draw on any of them. Where
            there are none, nothing is checked.
        drop: hold each sentence back until it is whole, and leave out those that are not grounded.
    """

    def __init__(self, passages: Sequence[Passage], *, drop: bool = False) -> None:
        self._passages = {p.n: f"{p.faq.question}\n{p.faq.answer}" for p in passages}
        self._drop, self._open = drop, ""
        self.ungrounded: list[str] = []

    def feed(self, text: str) -> str:
        """Takes the next piece of the answer and returns what can be shown now."""
        if not self._passages:
            return text
        self._open += text
        shown, done = "", 0
        for end in SENTENCE_END.finditer(self._open):
            shown += self._checked(self._open[done : end.end()])
            done = end.end()
        self._open = self._open[done:]
        return shown if self._drop else text

    def flush(self) -> str:
        """Checks the last sentence at the end of the answer and returns what was held back."""
        rest, self._open = self._open, ""
        shown = self._checked(rest)
        return shown if self._drop else ""

    def _checked(self, sentence: str) -> str:
        cited = cited_numbers(sentence)
        texts = [text for n, text in self._passages.items() if not cited or n in cited]
        if is_grounded(strip_citations(sentence), "\n".join(texts)):
            return sentence
        self.ungrounded.append(strip_citations(sentence).strip())
        return ""


def is_grounded(sentence: str, source: str) -> bool:
    """Whether every figure and menu path of `sentence` stands in `source`.

    A figure is compared with its unit (`3,000원` is `3000원`, `1만 원` is `10,000원`, `5프로` is `5%`); where
    the sentence names no unit, or the source none, the number is enough.
    """
    known = set(_figures(source))
    numbers = {number for number, _ in known}
    for number, unit in _figures(_ITEM.sub("", sentence)):
        if number not in numbers:
            return False
        units = {u for n, u in known if n == number}
        if unit and "" not in units and not any(unit.startswith(u) or u.startswith(unit) for u in units):
            return False
    blankless = _BLANK.sub("", source)
    return all(
        _BLANK.sub("", part) in blankless for path in _MENU.findall(sentence) for part in _menu_items(path)
    )


def _figures(text: str) -> Iterator[tuple[float, str]]:
    """Each number with its unit, in comparable form."""
    for match in _FIGURE.finditer(text):
        number, unit = float(match[1].replace(",", "")), _BLANK.sub("", match[2] or "")
        if unit in _TIMES:
            number, unit = number * _TIMES[unit], "원"
        yield number, _UNITS.get(unit, unit)


def _menu_items(path: str) -> list[str]:
    """The items of `A > B > C`: words before the first and behind the last belong to the sentence."""
    first, *middle, last = (part.strip() for part in path.split(">"))
    return [first.split()[-1] if first.split() else "", *middle, last.split()[0] if last.split() else ""]
