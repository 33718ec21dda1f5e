"""Turns a follow-up into a question that can be read, and searched, without the conversation.

Knows the memory of a session and the search; does not know providers, events or storage.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from api.memory import Memory
from retrieval.search import Searcher, SearchResult

_BARE = re.compile(r"^(?:그럼|그러면|그건|그거|거기|그리고|이건|이거|그게|그런데|근데|만약)")
_LIMIT = 10


@dataclass(frozen=True, slots=True)
class Resolution:
    """A question read in its context.

    Attributes:
        standalone: the question as it reads without the history.
        followup: true where the question leans on what came before.
        result: the search to answer from.
    """

    standalone: str
    followup: bool
    result: SearchResult


class ContextResolver:
    """Resolves follow-ups by rule; blocking."""

    def __init__(self, searcher: Searcher) -> None:
        self._searcher = searcher

    def resolve(self, question: str, memory: Memory) -> Resolution:
        """Returns the standalone question, whether it leaned on the history, and its search result."""
        raw = self._searcher.search(question, limit=_LIMIT)
        if not memory.turns:
            return Resolution(question, False, raw)
        if not _BARE.match(question) and (len(question) > 12 and raw.hits and raw.hits[0].score > 0.6):
            return Resolution(question, False, raw)
        combined = f"{memory.turns[-1].standalone} {question}"
        return Resolution(combined, True, self._searcher.search(combined, limit=_LIMIT))
