"""How a FAQ's answer begins, for a reader who is to tell whether it is the one they look for.

Knows the blocks of an answer (`blocks.py`); does not know the question: a choice is offered because it may
not fit, so no part of it is picked for fitting.
"""

from __future__ import annotations

from retrieval.corpus.sentences import split_sentences
from retrieval.quoting.blocks import ANNOUNCES, split_blocks

# Below an unsure sentence, of 100 questions as sellers type 22: 11 of them find every fact in so much of the
# likeliest FAQ, and no more in all of it. Two FAQs of 200 characters gave no more either (10).
GLIMPSE_CHARS = 240


def glimpse(answer: str, most: int = GLIMPSE_CHARS) -> str:
    """The first lines of a FAQ's answer, whole sentences of at most `most` characters, on one line.

    It ends with `…` where the answer goes on, and never with a sentence that announces what is not there.
    """
    lines = (line.strip() for block in split_blocks(answer) for line in block.lines)
    sentences = [sentence for line in lines for sentence in split_sentences(line)]
    shown: list[str] = []
    for sentence in sentences:
        if len(" ".join([*shown, sentence])) > most:
            break
        shown.append(sentence)
    if len(shown) == len(sentences):
        return " ".join(shown)
    while len(shown) > 1 and ANNOUNCES.search(shown[-1]):
        shown.pop()
    return f"{' '.join(shown) or sentences[0][:most].rstrip()} …"
