"""Which passage an answer without citations comes from, where that is sure.

Knows text and passages; does not know providers or events.
"""

from __future__ import annotations

from collections.abc import Sequence

from api.conversation.checks.grounding import is_grounded
from retrieval.prompt import Passage
from retrieval.quoting.citations import strip_citations
from retrieval.search import letters

_GRAM = 3
_FEWEST = 20
# Least share of an answer's runs of three letters that stand in its passage, and how much less stands in any
# other. Of 160 answers written by people over the real FAQ, with their FAQ among four passages, these find it
# for 86 and never another; with their FAQ left out, a near one is named for 10. 0.4 and 0: 135, 2 and 21.
_SHARE, _AHEAD = 0.5, 0.1


def source_of(answer: str, passages: Sequence[Passage]) -> int | None:
    """The number of the passage whose words and figures an answer repeats; None where that is not sure."""
    said = strip_citations(answer)
    runs = _runs(said)
    if len(runs) < _FEWEST or not passages:
        return None
    shares = sorted(((len(runs & _runs(_text(p))) / len(runs), -p.n, p) for p in passages), reverse=True)
    (share, _, best), *others = shares
    if share < _SHARE or (others and share - others[0][0] < _AHEAD):
        return None
    return best.n if is_grounded(said, _text(best)) else None


def _text(passage: Passage) -> str:
    return f"{passage.faq.question}\n{passage.faq.answer}"


def _runs(text: str) -> set[str]:
    key = letters(text)
    return {key[i : i + _GRAM] for i in range(len(key) - _GRAM + 1)}
