"""Turns a follow-up into a question that can be read, and searched, without the conversation.

By rule: the question is searched as it is; how much it leans on the history decides how much the FAQ
answered before weighs in a second, mixed search, which needs no further embedding of the question. Knows
the memory of a session and the search; does not know events, storage or how a verdict is worded.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from threading import Lock

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from api.conversation.memory import Memory, RememberedTurn
from retrieval.corpus.faq import Faq
from retrieval.index.base import LEGS, IndexQuery
from retrieval.offers.wording import offer_text
from retrieval.ranking.ranker import Hit
from retrieval.scope.classifier import ScopeClassifier
from retrieval.scope.dependence import (
    POINTS_BACK,
    DependenceGate,
    compose,
    is_noun_phrase,
    mixed_query,
    rank_in_context,
    topic_of,
    undo_repeats,
)
from retrieval.scope.wishes import wants_more, wants_something_else
from retrieval.search import DEPTH, Searcher, SearchResult, letters

LIMIT = 10
_LEANS, _SURELY = 0.6, 0.8
_SOFT, _HARD = (0.3, 0.25), (0.5, 0.5)
_OWN_PLACE = 3
_SURE_HIT = 0.5
_OFF_TOPIC, _OUTSIDE, _SURELY_OFF_TOPIC, _BARE = 0.45, 0.7, 0.9, 0.05
_KEPT_TOPICS = 256


@dataclass(frozen=True, slots=True)
class Resolution:
    """A question read in its context.

    Attributes:
        standalone: the question as it reads without the history.
        followup: true where the question leans on what came before.
        result: the search to answer from.
        detail: the seller wants to hear more of the FAQ just answered, which is the first hit.
        others: the seller wants other FAQs for the last question; those already shown are left out.
        shown: the standalone question is Korean that can be shown to the seller.
    """

    standalone: str
    followup: bool
    result: SearchResult
    detail: bool = False
    others: bool = False
    shown: bool = True

    @property
    def needs_rewriting(self) -> bool:
        """True where a model can read the question better than the rule did."""
        return self.followup and not self.detail and not self.others


@dataclass(frozen=True, slots=True)
class _Topic:
    """What the conversation was about: the words searched, their short form, the FAQ if there is one."""

    text: str
    label: str
    faq_id: str = ""


class ContextResolver:
    """Resolves follow-ups by rule; blocking, thread-safe."""

    def __init__(
        self,
        searcher: Searcher,
        *,
        scope: ScopeClassifier | None = None,
        gate: DependenceGate | None = None,
    ) -> None:
        """Takes the search, and loads what was calibrated unless it is given."""
        self._searcher = searcher
        self._scope = scope or ScopeClassifier.load()
        self._gate = gate or DependenceGate.load()
        self._topics: LRUCache[str, tuple[IndexQuery, NDArray[np.float32]]] = LRUCache(_KEPT_TOPICS)
        self._lock = Lock()

    def resolve(self, question: str, memory: Memory) -> Resolution:
        """Returns the standalone question, whether it leaned on the history, and its search result.

        Raises:
            EmbedderError, IndexUnavailable: the search failed.
        """
        if offered := self._offered(question, memory):
            return Resolution(offered.question, False, self._answered_by(offered))
        if wants_something_else(question) and (last := self._last_question(memory)):
            return self._something_else(last, memory)
        raw = self._searcher.search(question, limit=LIMIT)
        topic = self._topic(memory)
        dependence = self._dependence(question, raw) if topic else 0.0
        if topic is None or dependence < _LEANS:
            return Resolution(question, False, raw)
        result = self._in_context(raw, topic, _HARD if dependence >= _SURELY else _SOFT)
        standalone = compose(topic.label, question)
        detail = bool(wants_more(question) and result.hits and result.hits[0].faq.id == topic.faq_id)
        return Resolution(
            standalone, True, replace(result, query=standalone), detail, shown=is_noun_phrase(topic.label)
        )

    def search(self, standalone: str, *, followup: bool) -> Resolution:
        """Searches a question that something else has made standalone."""
        return Resolution(standalone, followup, self._searcher.search(standalone, limit=LIMIT))

    def _answered_by(self, faq: Faq) -> SearchResult:
        """The search for a FAQ's title with that FAQ first, whatever else the title finds."""
        result = self._searcher.search(faq.question, limit=LIMIT)
        if not any(hit.faq.id == faq.id for hit in result.hits):
            unfound = Hit(faq, 1.0, dict.fromkeys(LEGS, 0.0))
            return replace(result, hits=(unfound, *result.hits[: LIMIT - 1]))
        return replace(result, hits=tuple(sorted(result.hits, key=lambda hit: hit.faq.id != faq.id)))

    def _something_else(self, last: RememberedTurn, memory: Memory) -> Resolution:
        """The last question again, without the FAQs that it has been given."""
        shown = {faq for turn in memory.turns for faq in turn.answered}
        shown |= {faq for turn in memory.turns if turn.verdict == "unsure" for faq in turn.suggested}
        result = self._searcher.search(last.standalone, limit=LIMIT + len(shown))
        hits = tuple(hit for hit in result.hits if hit.faq.id not in shown)[:LIMIT]
        return Resolution(
            last.standalone,
            True,
            replace(result, hits=hits),
            others=True,
            shown=last.standalone == last.question,
        )

    def _last_question(self, memory: Memory) -> RememberedTurn | None:
        """The last turn that asked something of the FAQ."""
        asked = (turn for turn in reversed(memory.turns) if turn.intent == "question")
        return next((turn for turn in asked if turn.verdict != "off_topic"), None)

    def _dependence(self, question: str, raw: SearchResult) -> float:
        """How much the question leans on the history; 0 where it surely stands by itself.

        That is a FAQ's own title (a follow-up that was clicked), or what is plainly not of the store.
        """
        if raw.hits and letters(raw.hits[0].faq.question) == letters(question):
            return 0.0
        judged = self._scope.judge(question, raw, followup=False)
        elsewhere, bare = judged.probabilities["off_topic"], judged.probabilities["bare"]
        outside = elsewhere + judged.probabilities["unanswerable"]
        plainly = bare <= _BARE and (elsewhere >= _OFF_TOPIC or outside >= _OUTSIDE)
        points_back = bool(POINTS_BACK.search(question))
        if (
            judged.injection
            or judged.intent != "question"
            or (not points_back and (plainly or elsewhere >= _SURELY_OFF_TOPIC))
        ):
            return 0.0
        return self._gate.dependence(question, raw, judged)

    def _offered(self, question: str, memory: Memory) -> Faq | None:
        """The FAQ whose offer or title, shown in the last turn, is sent back as it was worded."""
        ids = memory.turns[-1].suggested if memory.turns else ()
        for faq in self._searcher.index.get(ids).values() if ids else ():
            short = offer_text(faq, topic=faq.categories[-1] if faq.categories else "")
            if letters(question) in (letters(faq.question), letters(offer_text(faq)), letters(short)):
                return faq
        return None

    def _topic(self, memory: Memory) -> _Topic | None:
        """The FAQ answered last; else the last question that was about the store."""
        turn = self._last_question(memory)
        if turn is None:
            return None
        if faq := self._answered(turn):
            return _Topic(faq.question, topic_of(faq.question), faq.id)
        return _Topic(turn.standalone, topic_of(turn.standalone))

    def _answered(self, turn: RememberedTurn) -> Faq | None:
        """The FAQ that answered a turn; a history told by a client names none: it is searched."""
        if turn.answered:
            return self._searcher.index.get(turn.answered[:1]).get(turn.answered[0])
        if turn.verdict != "answered":
            return None
        hits = self._searcher.search(turn.standalone, limit=1).hits
        return hits[0].faq if hits and hits[0].score >= _SURE_HIT else None

    def _in_context(self, raw: SearchResult, topic: _Topic, weights: tuple[float, float]) -> SearchResult:
        """Ranks by question and topic together; the bare question's best hit stays among the first."""
        asked = IndexQuery(raw.query, raw.dense, raw.tokens)
        said, meaning = self._embedded(topic.text)
        query = mixed_query(asked, said, dense=weights[0], lexical=weights[1])
        candidates = undo_repeats(query, self._searcher.index.candidates(query, limit=DEPTH))
        hits = rank_in_context(candidates, before=topic.faq_id, asked=raw.tokens)
        if wants_more(raw.query):
            hits.sort(key=lambda hit: hit.faq.id != topic.faq_id)
        if raw.hits and raw.hits[0].faq.id not in {hit.faq.id for hit in hits[:_OWN_PLACE]}:
            hits = [hit for hit in hits if hit.faq.id != raw.hits[0].faq.id]
            hits.insert(_OWN_PLACE - 1, raw.hits[0])
        return replace(
            raw,
            hits=tuple(hits[:LIMIT]),
            dense=query.dense,
            tokens=tuple(dict.fromkeys(query.tokens)),
            plain=_mean_direction(raw.meaning, meaning, weights[0]),
        )

    def _embedded(self, text: str) -> tuple[IndexQuery, NDArray[np.float32]]:
        """The topic as a query; kept, because the next turns ask for it again."""
        key = f"{self._searcher.embedder.name}\0{text}"
        with self._lock:
            if (topic := self._topics.get(key)) is not None:
                return topic
        embedded = self._searcher.embedder.embed_queries([text])
        sparse = embedded.sparse[0] if embedded.sparse else None
        query = IndexQuery(text, embedded.dense[0], self._searcher.tokenizer.tokens(text), sparse)
        meaning = embedded.dense[0] if embedded.plain is None else embedded.plain[0]
        with self._lock:
            self._topics[key] = query, meaning
        return query, meaning


def _mean_direction(
    question: NDArray[np.float32], topic: NDArray[np.float32], weight: float
) -> NDArray[np.float32]:
    mixed = question + np.float32(weight) * topic
    return (mixed / max(float(np.linalg.norm(mixed)), 1e-9)).astype(np.float32)
