"""Writes chosen units as an answer: lines of sentences, `1) ` steps, `· ` items, `※ ` notes, all cited.

Knows layout alone; which units to write is decided in `extract.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from retrieval.extract import score_units, select_units
from retrieval.extract_cues import read_question
from retrieval.extract_units import Unit, split_units, without_connective
from retrieval.prompt import Passage
from retrieval.tokenizer import KoreanTokenizer


def compose(question: str, passages: Sequence[Passage], tokenizer: KoreanTokenizer) -> list[str]:
    """Answers a question with sentences of the passages.

    Returns:
        Pieces of the answer in order, a sentence or line each; joined they are the whole answer.
        Empty where no passage has a sentence to quote.
    """
    asked = read_question(question, tokenizer.tokens(question))
    for passage in passages:
        title = read_question(passage.faq.body_question, tokenizer.tokens(passage.faq.body_question))
        units = split_units(passage.faq.answer)
        chosen = select_units(score_units(units, asked, title), asked)
        if chosen:
            return list(_pieces(chosen, units, passage.n))
    return []


def _pieces(chosen: Sequence[Unit], units: Sequence[Unit], n: int) -> Iterator[str]:
    ordered = [u for u in chosen if u.role != "note"] + [u for u in chosen if u.role == "note"]
    number = 0
    before: Unit | None = None
    for unit in ordered:
        text = unit.text
        if before is None or before.index != unit.index - 1:
            text = without_connective(text)
        match unit.role:
            case "step":
                number += 1
                mark = f"{number}) "
            case "bullet":
                mark = "· "
            case "note":
                mark = "※ "
            case _:
                mark = ""
        gap = "" if before is None else "\n" if mark or before.role != "sentence" else " "
        yield f"{gap}{mark}{text} [{n}]"
        before = unit
