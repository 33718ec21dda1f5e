"""Answers a question with sentences of the passages: lines, `1) ` steps, `· ` items, `※ ` notes, all cited.

Knows which passage to quote and the layout; which of its sentences, `extract.py` decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from retrieval.prompt import Passage
from retrieval.quoting.cues import Question, read_question
from retrieval.quoting.select import Scored, score_units, select_units, unanswered_share
from retrieval.quoting.units import Unit, split_units, without_connective
from retrieval.tokenizer import KoreanTokenizer

_ADDS = 0.4
_ADDED_CHARS, _SENTENCE_MAX = 120, 400
_MARKS = {"bullet": "· ", "note": "※ ", "example": "예) "}
_GOES_ON = "※ 다음 단계는 출처의 FAQ에 이어집니다."


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
    once = {(unit.group, unit.text): unit for unit in reversed(chosen)}  # pages repeat an item of a list
    ordered = sorted(once.values(), key=lambda unit: (unit.role == "note", unit.index))
    steps = Counter(unit.group for unit in chosen if unit.role == "step")
    numbers: Counter[int] = Counter()
    before: Unit | None = None
    listed, headed = -1, -1
    for unit in ordered:
        gap = "" if before is None else "\n" if unit.role != "sentence" or before.role != "sentence" else " "
        if unit.group not in (-1, listed):
            # A second list needs its heading to be told from the first, whatever the title says.
            known = title if listed < 0 else ""
            if unit.head != headed and _needs_heading(unit, units, known):
                yield f"{gap}{units[unit.head].text.strip('[]<>■ ').rstrip(':')}:"
                gap = "\n"
            listed, headed = unit.group, unit.head
        numbers[unit.group] += unit.role == "step"
        mark = _MARKS.get(unit.role, "")
        if unit.role == "step":
            mark = f"{numbers[unit.group]}) " if steps[unit.group] > 1 else "· "
        follows = before is not None and before.index == unit.index - 1
        yield f"{gap}{mark}{_bounded(unit.text if follows else without_connective(unit.text))} [{n}]"
        before = unit
    if _cut_short(chosen, units):
        yield f"\n{_GOES_ON} [{n}]"


def _bounded(text: str) -> str:
    """The text, cut at a word where a crawl ran a whole page into one sentence."""
    return text if len(text) <= _SENTENCE_MAX else text[:_SENTENCE_MAX].rsplit(" ", 1)[0] + "…"


def _cut_short(chosen: Sequence[Unit], units: Sequence[Unit]) -> bool:
    """Whether steps that belong to the last step written were left out."""
    written = [unit for unit in chosen if unit.role == "step" and unit.whole]
    if len(written) < 2:
        return False
    last = written[-1]
    return any(unit.role == "step" and unit.group == last.group for unit in units[last.index + 1 :])


def _needs_heading(unit: Unit, units: Sequence[Unit], title: str) -> bool:
    """Whether the list's heading tells more than the title and the sentence that announces it."""
    head = units[unit.head] if unit.head >= 0 else None
    if head is None or head.role != "heading":
        return False
    announced = units[head.head].text if head.head >= 0 else ""
    said = announced + title if unit.whole else announced
    words = [word for word in head.text.split() if len(word) > 1]
    return sum(word[:2] in said for word in words) * 2 < len(words) or not words
