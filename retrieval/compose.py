"""Answers a question with sentences of the passages: lines, `1) ` steps, `· ` items, `※ ` notes, all cited.

Knows which passage to quote and the layout; which of its sentences, `extract.py` decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from retrieval.extract import Scored, score_units, select_units, unanswered_share
from retrieval.extract_cues import Question, read_question
from retrieval.extract_units import Unit, split_units, without_connective
from retrieval.prompt import Passage
from retrieval.tokenizer import KoreanTokenizer

_ADDS = 0.3
_ADDED_CHARS = 120


def compose(question: str, passages: Sequence[Passage], tokenizer: KoreanTokenizer) -> list[str]:
    """Answers a question with sentences of the passages.

    The best passage answers. The next one adds a sentence where it alone has what the question names.

    Args:
        question: readable without the conversation.
        passages: best first.
        tokenizer: the search's own.

    Returns:
        Pieces of the answer in order, a sentence or line each; joined they are the whole answer.
        Empty where there is no passage.
    """
    asked = read_question(question, tokenizer.tokens(question))
    if not passages:
        return []
    first = passages[0]
    chosen = select_units(_scored(first, asked, tokenizer), asked)
    pieces = list(_pieces(chosen, split_units(first.faq.answer), first.n, first.faq.question))
    if len(passages) > 1:
        second = passages[1]
        said = " ".join((first.faq.question, *(unit.text for unit in chosen)))
        if added := _addition(_scored(second, asked, tokenizer), asked, said, passages):
            pieces.append(f"\n{without_connective(added.text)} [{second.n}]")
    return pieces


def _scored(passage: Passage, asked: Question, tokenizer: KoreanTokenizer) -> list[Scored]:
    title = passage.faq.body_question
    return score_units(split_units(passage.faq.answer), asked, read_question(title, tokenizer.tokens(title)))


def _addition(
    scored: Sequence[Scored], asked: Question, said: str, passages: Sequence[Passage]
) -> Unit | None:
    """The best sentence of another passage, if it has enough of what was asked and is not yet said."""
    alone = [
        item
        for item in scored
        if item.unit.role == "sentence" and not (item.unit.opens or item.unit.empty or item.unit.leans)
    ]
    best = max(alone, key=lambda item: item.score, default=None)
    if best is None or len(best.unit.text) > _ADDED_CHARS or best.unit.text in said:
        return None
    context = [f"{passage.faq.question} {passage.faq.answer}" for passage in passages]
    title = passages[1].faq.question
    adds = unanswered_share(asked, said, f"{title} {best.unit.text}", context)
    return best.unit if adds >= _ADDS else None


def _pieces(chosen: Sequence[Unit], units: Sequence[Unit], n: int, title: str) -> Iterator[str]:
    """One piece per unit; a list stands under its heading where the title does not say the same."""
    ordered = sorted(chosen, key=lambda unit: (unit.role == "note", unit.index))
    number = 0
    before: Unit | None = None
    for unit in ordered:
        gap = "" if before is None else "\n" if unit.role != "sentence" or before.role != "sentence" else " "
        first = before is None or before.group != unit.group
        if first:
            number = 0
        if first and unit.group >= 0 and _needs_heading(unit, units, title):
            yield f"{gap}{units[unit.head].text.strip('[]<>■ ').rstrip(':')}:"
            gap = "\n"
        number += unit.role == "step"
        mark = {"step": f"{number}) ", "bullet": "· ", "note": "※ ", "example": "예) "}.get(unit.role, "")
        follows = before is not None and before.index == unit.index - 1
        yield f"{gap}{mark}{unit.text if follows else without_connective(unit.text)} [{n}]"
        before = unit


def _needs_heading(unit: Unit, units: Sequence[Unit], title: str) -> bool:
    """Whether the list's heading tells more than the title and the sentence that announces it."""
    head = units[unit.head] if unit.head >= 0 else None
    if head is None or head.role != "heading":
        return False
    announced = units[head.head].text if head.head >= 0 else ""
    said = announced + title if unit.whole else announced
    words = [word for word in head.text.split() if len(word) > 1]
    return sum(word[:2] in said for word in words) * 2 < len(words) or not words
