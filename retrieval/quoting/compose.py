"""Answers a question without an LLM: blocks of the FAQ, in its words and order, each cited.

Knows which passages are quoted, and the layout. What a block is, `blocks.py` decides; which are shown,
`choose.py`; the fixed sentences are those of `retrieval/prompt.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from retrieval.corpus.list_markers import parse_line
from retrieval.prompt import ALL_SHOWN, CONTINUED, LEFT_OUT, Passage
from retrieval.quoting.blocks import Block, split_blocks
from retrieval.quoting.choose import MOST_CHARS, choose, cut, flat, relevance, size
from retrieval.tokenizer import KoreanTokenizer

# A second FAQ is quoted where it has this share of the question's words and the first has none of them.
_LACKS, _ADDED_CHARS = 0.3, 300


def compose(
    question: str,
    passages: Sequence[Passage],
    tokenizer: KoreanTokenizer,
    *,
    rest: bool = False,
    shown: str = "",
) -> list[str]:
    """Answers a question with whole blocks of the passages.

    Args:
        question: readable without the conversation.
        passages: best first.
        tokenizer: the search's own.
        rest: go on with the best passage (`더 자세히`): the blocks of it that `shown` does not hold, in
            order and whatever the question's words; `ALL_SHOWN` where there are none.
        shown: the earlier answers of the conversation as they were sent, citations included; only
            looked at with `rest`.

    Returns:
        Pieces of the answer in order, a heading or a block each; joined they are the whole answer, of
        at most about 900 characters. It ends with `LEFT_OUT` where the best passage has more to say.
        Empty where there is no passage.
    """
    if not passages:
        return []
    first = passages[0]
    blocks = split_blocks(first.faq.answer)
    if rest:
        return _rest(blocks, shown, first.n)
    terms = tuple(dict.fromkeys(t for token in tokenizer.tokens(question) if len(t := flat(token)) > 1))
    chosen = choose(blocks, question, terms, first.faq.body_question)
    pieces = list(_pieces(chosen, first.n))
    if not chosen[0].head and parse_line(pieces[0]).marker:
        pieces[0] = (
            f"{first.faq.body_question}\n{pieces[0]}"  # an answer does not begin with an item of a list
        )
    if added := _addition(question, terms, passages):
        pieces += _pieces(added, passages[1].n, gap="\n")
    if _lines(chosen) != _lines(blocks):
        pieces.append(f"\n\n{LEFT_OUT} [{first.n}]")
    return pieces


def _addition(question: str, terms: Sequence[str], passages: Sequence[Passage]) -> list[Block]:
    """The best block of the second passage, where it has enough of the words that the first lacks."""
    if len(passages) < 2:
        return []
    first, second = (flat(f"{one.faq.question} {one.faq.answer}") for one in passages[:2])
    if sum(term in second and term not in first for term in terms) < _LACKS * max(1, len(terms)):
        return []
    blocks = split_blocks(passages[1].faq.answer)
    scores = relevance(blocks, question, terms, passages[1].faq.body_question)
    best = blocks[max(range(len(blocks)), key=scores.__getitem__)]
    return [best] if size([best]) <= _ADDED_CHARS and not best.open else []


def _rest(blocks: Sequence[Block], shown: str, n: int) -> list[str]:
    """What was not shown yet, up to the most that an answer holds."""
    seen = flat(shown)
    left: list[Block] = []
    for block in blocks:
        ends = range(len(block.lines), 0, -1) if size([block]) > MOST_CHARS else (len(block.lines),)
        done = next((end for end in ends if all(flat(line) in seen for line in block.lines[:end])), 0)
        if done < len(block.lines):
            left.append(Block(block.head, block.role, block.lines[done:]))
    if not left:
        return [f"{ALL_SHOWN} [{n}]"]
    chosen: list[Block] = []
    for block in left:
        if chosen and size([*chosen, block]) > MOST_CHARS:
            break
        chosen.append(cut(block))
    pieces = [CONTINUED, *(_pieces(chosen, n, gap="\n"))]
    return pieces + ([f"\n\n{LEFT_OUT} [{n}]"] if _lines(chosen) != _lines(left) else [])


def _pieces(chosen: Sequence[Block], n: int, gap: str = "") -> Iterator[str]:
    """A piece per block, below its heading; a remark alone does not bring the heading of others."""
    bodies = {block.head for block in chosen if block.role != "remark"}
    head = ""
    for block in chosen:
        if block.head and block.head != head and block.head in bodies:
            gap = f"{gap}\n{block.head}" if gap else block.head
            gap += "\n" if gap.endswith("?") else ":\n"
        head = block.head
        yield f"{gap}{_text(block)} [{n}]"
        gap = "\n"


def _text(block: Block) -> str:
    """The block's lines; sentences that lean on one another, and cells without rows, stand on one line."""
    if block.role == "table" and "|" not in block.lines[0]:
        return " / ".join(block.lines)
    text = block.lines[0]
    for line in block.lines[1:]:
        text += f"{' ' if block.role == 'text' and not parse_line(line).marker else chr(10)}{line}"
    return text


def _lines(blocks: Sequence[Block]) -> list[str]:
    return [line for block in blocks for line in block.lines]
