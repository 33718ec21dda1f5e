"""Follow-up questions that the index can really answer.

Knows the search and what the session has seen; does not know how a suggestion is shown or stored.
"""

from __future__ import annotations

from api.events import Suggestion
from api.memory import Memory
from retrieval.corpus import Faq
from retrieval.index.base import FaqIndex
from retrieval.scope import ScopeVerdict
from retrieval.search import Searcher, SearchResult

MAX_SUGGESTIONS = 3


class FollowUps:
    """Picks up to three follow-ups, each of which retrieves its own FAQ first; blocking."""

    def __init__(self, searcher: Searcher, index: FaqIndex) -> None:
        self._searcher, self._index = searcher, index
        self._verified: dict[str, bool] = {}

    def suggest(
        self, result: SearchResult, verdict: ScopeVerdict, memory: Memory, standalone: str
    ) -> tuple[Suggestion, ...]:
        """Returns zero to three suggestions, none seen in the session."""
        taken = set(memory.seen())
        if verdict.verdict == "answered" and result.hits:
            taken.add(result.hits[0].faq.id)
        chosen: list[Suggestion] = []
        for hit in result.hits:
            if len(chosen) == MAX_SUGGESTIONS:
                break
            if hit.faq.id not in taken and self._finds_itself(hit.faq):
                chosen.append(Suggestion(faq_id=hit.faq.id, question=hit.faq.question, text=offer(hit.faq)))
                taken.add(hit.faq.id)
        return tuple(chosen)

    def _finds_itself(self, faq: Faq) -> bool:
        if faq.id not in self._verified:
            hits = self._searcher.search(faq.question, limit=1).hits
            self._verified[faq.id] = bool(hits) and hits[0].faq.id == faq.id
        return self._verified[faq.id]


def offer(faq: Faq) -> str:
    """The FAQ's title as an offer."""
    return f"'{faq.body_question}'에 대해 안내해드릴까요?"
