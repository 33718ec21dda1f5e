"""Turns a follow-up into a question that can be read, and searched, without the conversation.

By rule: the question is searched as it is; how much it leans on the history decides how much the FAQ
answered before weighs in a second, mixed search, which needs no further embedding of the question. Knows
the memory of a session and the search; does not know events, storage or how a verdict is worded.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass, replace
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from api.memory import Memory
from retrieval.index.base import IndexQuery
from retrieval.ranker import Hit
from retrieval.rewrite import (
    POINTS_BACK,
    DependenceGate,
    compose,
    mixed_query,
    topic_of,
    undo_repeats,
)
from retrieval.scope import ScopeClassifier
from retrieval.search import DEPTH, Searcher, SearchResult

LIMIT = 10
_LEANS, _SURELY = 0.4, 0.6
_SOFT, _HARD = (0.3, 0.25), (0.5, 0.5)
_AGAIN = 0.75
_OFF_TOPIC, _OUTSIDE, _SURELY_OFF_TOPIC, _BARE = 0.45, 0.7, 0.9, 0.05
_KEPT_TOPICS = 256
_KEY = re.compile(r"[\W_]+")


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
        self._topics: OrderedDict[str, tuple[IndexQuery, NDArray[np.float32]]] = OrderedDict()
        self._lock = Lock()

    def resolve(self, question: str, memory: Memory) -> Resolution:
        """Returns the standalone question, whether it leaned on the history, and its search result.

        Raises:
            EmbedderError, IndexUnavailable: the search failed.
        """
        raw = self._searcher.search(question, limit=LIMIT)
        topic = self._topic(memory)
        if topic is None or not self._leans(question, raw):
            return Resolution(question, False, raw)
        dependence = self._gate.dependence(question, raw)
        if dependence < _LEANS:
            return Resolution(question, False, raw)
        result = self._in_context(raw, topic, _HARD if dependence >= _SURELY else _SOFT)
        standalone = compose(topic.label, question)
        return Resolution(standalone, True, replace(result, query=standalone))

    def search_standalone(self, standalone: str) -> Resolution:
        """Searches a question that something else has already made standalone."""
        return Resolution(standalone, True, self._searcher.search(standalone, limit=LIMIT))

    def leans(self, question: str, memory: Memory) -> bool:
        """True where a rewrite could help: there is a topic, and the question leans on it."""
        if self._topic(memory) is None:
            return False
        raw = self._searcher.search(question, limit=LIMIT)
        return self._leans(question, raw) and self._gate.dependence(question, raw) >= _LEANS

    def _leans(self, question: str, raw: SearchResult) -> bool:
        """False where the question surely stands by itself: a FAQ's own title, or plainly off topic."""
        if raw.hits and _key(raw.hits[0].faq.question) == _key(question):
            return False
        if POINTS_BACK.search(question):
            return True
        judged = self._scope.judge(question, raw, followup=False)
        elsewhere, bare = judged.probabilities["off_topic"], judged.probabilities["bare"]
        unknown = judged.probabilities["unanswerable"]
        plainly = elsewhere >= _OFF_TOPIC or elsewhere + unknown >= _OUTSIDE
        return not (judged.injection or (plainly and bare <= _BARE) or elsewhere >= _SURELY_OFF_TOPIC)

    def _topic(self, memory: Memory) -> _Topic | None:
        """The FAQ answered last; else the last question that was about the store."""
        for turn in reversed(memory.turns):
            if turn.answered:
                found = self._searcher.index.get(turn.answered[:1])
                if faq := found.get(turn.answered[0]):
                    return _Topic(faq.question, topic_of(faq.question), faq.id)
            if turn.verdict != "off_topic":
                return _Topic(turn.standalone, topic_of(turn.standalone))
        return None

    def _in_context(self, raw: SearchResult, topic: _Topic, weights: tuple[float, float]) -> SearchResult:
        """Ranks by question and topic together; the bare question's best hit stays among the first."""
        asked = IndexQuery(raw.query, raw.dense, raw.tokens)
        said, meaning = self._embedded(topic.text)
        query = mixed_query(asked, said, dense=weights[0], lexical=weights[1])
        candidates = undo_repeats(query, self._searcher.index.candidates(query, limit=DEPTH))
        plain = replace(query, tokens=tuple(dict.fromkeys(query.tokens)))
        hits = [
            _again(h) if h.faq.id == topic.faq_id else h
            for h in self._searcher.ranker.rank(plain, candidates)
        ]
        hits.sort(key=lambda hit: (-hit.score, hit.faq.id))
        if raw.hits and raw.hits[0].faq.id not in {hit.faq.id for hit in hits[:3]}:
            hits = [hit for hit in hits if hit.faq.id != raw.hits[0].faq.id]
            own = raw.hits[0]
            hits.insert(2, replace(own, score=min([own.score, *(hit.score for hit in hits[1:2])])))
        return replace(
            raw,
            hits=tuple(hits[:LIMIT]),
            dense=query.dense,
            tokens=plain.tokens,
            plain=_mean_direction(raw.meaning, meaning, weights[0]),
        )

    def _embedded(self, text: str) -> tuple[IndexQuery, NDArray[np.float32]]:
        """The topic as a query; kept, because the next turns ask for it again."""
        key = f"{self._searcher.embedder.name}\0{text}"
        with self._lock:
            if key in self._topics:
                self._topics.move_to_end(key)
                return self._topics[key]
        embedded = self._searcher.embedder.embed_queries([text])
        sparse = embedded.sparse[0] if embedded.sparse else None
        query = IndexQuery(text, embedded.dense[0], self._searcher.tokenizer.tokens(text), sparse)
        meaning = embedded.dense[0] if embedded.plain is None else embedded.plain[0]
        with self._lock:
            self._topics[key] = query, meaning
            while len(self._topics) > _KEPT_TOPICS:
                self._topics.popitem(last=False)
        return query, meaning


def _again(hit: Hit) -> Hit:
    """What was just answered is seldom asked again."""
    return replace(hit, score=hit.score * _AGAIN)


def _mean_direction(
    question: NDArray[np.float32], topic: NDArray[np.float32], weight: float
) -> NDArray[np.float32]:
    mixed = question + np.float32(weight) * topic
    return (mixed / max(float(np.linalg.norm(mixed)), 1e-9)).astype(np.float32)


def _key(text: str) -> str:
    return _KEY.sub("", text).lower()
