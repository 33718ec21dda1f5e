"""Chooses which blocks of an answer are shown: all of an ordinary one, of a long one those asked for.

The weights are few because they hardly matter: on the development sets halving or doubling any one of
them moves the answers with every fact by at most 0.03, the bounds on length by 0.1. Embedding the blocks
(e5-small) and lists of synonyms were tried instead and gave no more.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace

from retrieval.corpus.list_markers import parse_line
from retrieval.corpus.sentences import split_sentences
from retrieval.quoting.blocks import ANNOUNCES, Block, missing_items

# Help pages say the main thing first: a short first block is always shown (+0.02 of the answers have every
# fact, on both sets), and in the order of the others the first gets a bonus, each later one half of it.
_OPENING_CHARS, _FIRST = 160, 0.3
# What fits is shown whole, as almost nine of ten answers of the real FAQ are: with 640 the median answer to
# sellers' questions has over 330 characters, for no more with every fact (docs/quality.md). Of a longer
# one less is shown, unless blocks score nearly alike: a choice that is not clear is left to the reader.
MOST_CHARS, _SURE_CHARS, _NEARLY = 560, 260, 0.75
_REMARK, _FIGURE = 0.2, 0.2
_ASKS_FIGURE = re.compile(r"언제|얼마|며칠|몇|기간|기한|수수료|금액|퍼센트|프로|%")
_SAME_BELOW = re.compile(r"(?<=[은는] )(?:아래|다음)(?:와|과) 같습니다\.?$")
_SPACE = re.compile(r"\s+")


def flat(text: str) -> str:
    """The text as it is compared: lower case, without white space."""
    return _SPACE.sub("", text).lower()


def size(blocks: Sequence[Block]) -> int:
    """Characters of the blocks with their headings."""
    heads = {block.head for block in blocks}
    return sum(len(line) + 1 for block in blocks for line in block.lines) + sum(map(len, heads))


def choose(blocks: Sequence[Block], question: str, terms: Sequence[str], title: str) -> list[Block]:
    """Returns the blocks to show, in reading order; a block that is too long for an answer is cut.

    Args:
        blocks: of one answer.
        question: as asked, readable without the conversation.
        terms: its words that tell something, flat.
        title: the question that the FAQ itself answers: its words tell its blocks apart less.
    """
    if size(blocks) <= MOST_CHARS:
        return _kept_promises(blocks, range(len(blocks)))
    scores = relevance(blocks, question, terms, title)
    order = sorted(range(len(blocks)), key=lambda index: -scores[index])
    chosen = order[:1]
    if size(blocks[:1]) <= _OPENING_CHARS and size([blocks[0], blocks[chosen[0]]]) <= MOST_CHARS:
        chosen = sorted({0, *chosen})
    for index in order[1:]:
        room = MOST_CHARS if scores[index] >= _NEARLY * scores[order[0]] else _SURE_CHARS
        if index not in chosen and size([blocks[i] for i in (*chosen, index)]) <= room:
            chosen.append(index)
    for index in tuple(chosen):
        governed = [i for i in _governed(blocks, index) if i not in chosen]
        if governed and size([blocks[i] for i in (*chosen, *governed)]) <= MOST_CHARS:
            chosen += governed
    return _kept_promises(blocks, sorted(chosen))


def relevance(blocks: Sequence[Block], question: str, terms: Sequence[str], title: str) -> list[float]:
    """How much of the question each block holds, from 0 to about 1.5; rarer words count more."""
    texts, named = [flat(block.text) for block in blocks], flat(title)
    weights: dict[str, float] = {}
    for term in terms:
        if count := sum(term in text for text in texts):
            weights[term] = math.log(1 + len(texts) / count) * (0.5 if term in named else 1)
    total = sum(weights.values()) or 1.0
    figure = bool(_ASKS_FIGURE.search(question))
    return [
        sum(weight for term, weight in weights.items() if term in text) / total
        + _FIRST * 0.5**place
        + _FIGURE * (figure and any(char.isdigit() for char in text))
        - _REMARK * (block.role == "remark")
        for place, (block, text) in enumerate(zip(blocks, texts, strict=True))
    ]


def cut(block: Block) -> Block:
    """The block, or the first items of a list that is too long for an answer; whole ones where it has two."""
    end = len(block.lines)
    while end > 1 and size([replace(block, lines=block.lines[:end])]) > MOST_CHARS:
        end -= 1
    whole = end
    while 1 < whole < len(block.lines) and block.lines[whole].startswith(" "):
        whole -= 1
    return replace(block, lines=block.lines[: whole if whole > 1 else end])


def _governed(blocks: Sequence[Block], index: int) -> list[int]:
    after = range(index + 1, index + 1 + blocks[index].governs)
    return [i for i in after if blocks[i].role != "remark"]


def _kept_promises(blocks: Sequence[Block], chosen: Sequence[int]) -> list[Block]:
    """The chosen blocks, without sentences that announce what is not chosen or not there."""
    kept: list[Block] = []
    for index in chosen:
        lines, governed = cut(blocks[index]).lines, _governed(blocks, index)
        while missing_items(lines) and not (governed and set(governed) <= set(chosen)):
            last = max(place for place, line in enumerate(lines) if ANNOUNCES.search(line))
            lines[last : last + 1] = filter(None, [_without_promise(lines[last])])
        if lines:
            kept.append(replace(blocks[index], lines=lines))
    return kept or [blocks[index] for index in chosen]


def _without_promise(line: str) -> str:
    """The line without what it announces; `조건은 아래와 같습니다` becomes a hint at the source."""
    sent = _SAME_BELOW.sub("출처에서 확인해 주세요.", line)
    parts = [one for one in split_sentences(sent) if not ANNOUNCES.search(one)]
    return "" if parse_line(" ".join(parts)).text == "" else " ".join(parts)
