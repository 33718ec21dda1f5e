"""How a FAQ's answer begins, for a reader who is to tell whether it is the one they look for.

Knows the blocks of an answer (`blocks.py`); does not know the question: a choice is offered because it may
not fit, so no part of it is picked for fitting.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from retrieval.corpus.list_markers import parse_line
from retrieval.corpus.sentences import split_sentences
from retrieval.quoting.blocks import missing_items, split_blocks

# Below an unsure sentence, of 100 questions as sellers type 21: 11 of them find every fact in so much of the
# likeliest FAQ, and no more in all of it. Two FAQs of 200 characters gave no more either (10).
GLIMPSE_CHARS = 240


def glimpse(answer: str, most: int = GLIMPSE_CHARS) -> str:
    """The first sentences of an answer, of at most `most` characters; items of a list on their own lines.

    It ends with `…` where the answer goes on, and never behind a sentence that announces more than is there.
    """
    units = list(_units(answer))
    ends = accumulate(map(len, units))
    shown = [unit for unit, end in zip(units, ends, strict=True) if end <= most + 1]
    if len(shown) == len(units):
        return "".join(shown).strip()
    while len(shown) > 1 and missing_items(shown):
        shown.pop()
    return f"{''.join(shown).strip() or units[0][: most + 1].strip()} …"


def _units(answer: str) -> Iterator[str]:
    """The sentences in order, each behind the white space that parts it from the one before."""
    listed = False
    for line in (line.strip() for block in split_blocks(answer) for line in block.lines):
        marked = bool(parse_line(line).marker)
        for place, sentence in enumerate(split_sentences(line)):
            yield f"{chr(10) if place == 0 and (marked or listed) else ' '}{sentence}"
        listed = marked
