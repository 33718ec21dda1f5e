"""Follow-up questions that the index can really answer.

A FAQ is offered only when its own title, searched the way a click will search it, finds it first and is
judged answerable. Candidates come from the answered FAQ's related entries, its neighbours (what its title
finds) and the rest of the search. What titles find is known of a build (`retrieval/offers`): a turn chooses,
and searches only titles that an edit has touched since. Knows the search, the verdict and what the session
has seen; does not know how a suggestion is shown or stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, zip_longest
from pathlib import Path
from threading import Lock

from cachetools import LRUCache

from api.conversation.memory import Memory
from api.events import Suggestion
from retrieval.corpus.faq import Faq
from retrieval.offers.find import NEIGHBOURS, offers_version, short_text
from retrieval.offers.known import Offer
from retrieval.offers.wording import offer_text
from retrieval.scope.classifier import SCOPE_DIR, ScopeClassifier, ScopeVerdict
from retrieval.search import Searcher, SearchResult, letters

MAX_SUGGESTIONS = 3
MAX_CHOICES = 4
_SEARCHES = 16
_KEPT = 8192
_ALIKE = 0.6


class FollowUps:
    """Picks zero to three follow-ups; blocking, thread-safe.

    What is not known of the build is searched, and remembered per build.
    """

    def __init__(
        self,
        searcher: Searcher,
        *,
        scope: ScopeClassifier | None = None,
        openings: Path = SCOPE_DIR / "openings.txt",
    ) -> None:
        self._searcher = searcher
        self._scope = scope or ScopeClassifier.load()
        lines = openings.read_text(encoding="utf-8").splitlines()
        self._openings = tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))
        self._looked_up: LRUCache[tuple[str, str], tuple[tuple[Faq, ...], bool]] = LRUCache(_KEPT)
        self._lock = Lock()
        self._version = offers_version(searcher, self._scope)

    def known(self, faq: Faq) -> Offer | None:
        """What the build knows of a FAQ's title; None where it has to be searched."""
        offers = self._searcher.index.offers
        return offers.by_id.get(faq.id) if offers and offers.version == self._version else None

    def get(self, faq_ids: Sequence[str]) -> tuple[Faq, ...]:
        """The FAQs with these ids, in their order."""
        found = self._searcher.index.get(faq_ids)
        return tuple(found[id] for id in faq_ids if id in found)

    def suggest(
        self, result: SearchResult, verdict: ScopeVerdict, memory: Memory, standalone: str
    ) -> tuple[Suggestion, ...]:
        """Returns up to three suggestions, none seen in the session and no two alike.

        Raises:
            EmbedderError, IndexUnavailable: a search failed.
        """
        answered = result.hits[0].faq if verdict.verdict == "answered" and result.hits else None
        seen = set(memory.seen())
        shown = {letters(standalone), *(letters(turn.question) for turn in memory.turns)}
        # A history told by a client holds earlier offers as text alone.
        told = "\n".join(turn.answer for turn in memory.turns if not turn.suggested)
        titles = [answered.body_question] if answered else []
        topic = answered.categories[-1] if answered and answered.categories else ""
        chosen: list[Suggestion] = []
        search = _Budget(self, _SEARCHES)
        for faq in self._candidates(search, result, verdict, memory):
            if len(chosen) == MAX_SUGGESTIONS or search.spent:
                break
            if faq.id in seen or letters(faq.question) in shown or (answered and faq.id == answered.id):
                continue
            seen.add(faq.id)
            if any(alike(faq.body_question, title) for title in titles) or not search.finds_itself(faq):
                continue
            if offer_text(faq) in told or offer_text(faq, topic=topic) in told:
                continue
            titles.append(faq.body_question)
            text = search.worded(faq, topic)
            chosen.append(Suggestion(faq_id=faq.id, question=faq.question, text=text))
        return tuple(chosen)

    def _candidates(
        self, search: _Budget, result: SearchResult, verdict: ScopeVerdict, memory: Memory
    ) -> Iterator[Faq]:
        hits = [hit.faq for hit in result.hits]
        match verdict.verdict:
            case "answered" if hits:
                yield from search.related(hits[0])
                yield from _alternate(search.neighbours(hits[0]), hits[1:])
            case "not_found" if verdict.intent == "question":
                yield from hits
            case _:
                yield from self._back_to_the_store(search, memory)

    def _back_to_the_store(self, search: _Budget, memory: Memory) -> Iterator[Faq]:
        """From the session's last topic; else what opens a conversation about a store."""
        for turn in reversed(memory.turns):
            known = self._searcher.index.get(turn.answered[:1])
            for faq in known.values():
                yield from chain(search.related(faq), search.neighbours(faq))
        for opening in self._openings:
            yield from search.find(opening)[:1]
        for opening in self._openings:
            yield from search.find(opening)[1:4]

    def look_up(self, text: str) -> tuple[tuple[Faq, ...], bool]:
        """What `text` finds, and whether it is judged answerable; remembered."""
        key = (self._searcher.index.fingerprint, text)
        with self._lock:
            if (known := self._looked_up.get(key)) is not None:
                return known
        result = self._searcher.search(text, limit=NEIGHBOURS)
        answered = self._scope.judge(text, result, followup=False).verdict == "answered"
        looked_up = (tuple(hit.faq for hit in result.hits), answered)
        with self._lock:
            self._looked_up[key] = looked_up
        return looked_up

    @property
    def remembered(self) -> int:
        """How many look-ups are remembered."""
        with self._lock:
            return len(self._looked_up)

    def remembers(self, text: str) -> bool:
        """True where `look_up` needs no search."""
        with self._lock:
            return (self._searcher.index.fingerprint, text) in self._looked_up


def choices(result: SearchResult) -> tuple[Suggestion, ...]:
    """The FAQs likeliest meant, best first, by their titles; of titles that say the same, the first."""
    chosen: list[Faq] = []
    for hit in result.hits:
        if len(chosen) == MAX_CHOICES:
            break
        if not any(alike(hit.faq.question, other.question) for other in chosen):
            chosen.append(hit.faq)
    return tuple(Suggestion(faq_id=faq.id, question=faq.question, text=faq.question) for faq in chosen)


class _Budget:
    """Look-ups of one turn, with a bound on those that really search."""

    def __init__(self, followups: FollowUps, searches: int) -> None:
        self._followups, self._left = followups, searches
        self.spent = False

    def find(self, text: str) -> tuple[Faq, ...]:
        return self._look_up(text)[0]

    def neighbours(self, faq: Faq) -> tuple[Faq, ...]:
        """What its title finds, itself first."""
        known = self._followups.known(faq)
        return self.find(faq.question) if known is None else (faq, *self._followups.get(known.neighbours))

    def finds_itself(self, faq: Faq) -> bool:
        if (known := self._followups.known(faq)) is not None:
            return known.offerable
        found, answered = self._look_up(faq.question)
        return answered and bool(found) and found[0].id == faq.id

    def related(self, faq: Faq) -> Iterator[Faq]:
        """The related entries of `faq` that are the title of a FAQ (some are mere keywords)."""
        if (known := self._followups.known(faq)) is not None:
            yield from self._followups.get(known.related)
            return
        for title in faq.related:
            found = self.find(title)
            if found and letters(found[0].question) == letters(title):
                yield found[0]

    def worded(self, faq: Faq, topic: str) -> str:
        """The offer, without the tag of the conversation's topic where it is found without it, too."""
        short, full = offer_text(faq, topic=topic), offer_text(faq)
        if short == full:
            return full
        known = self._followups.known(faq)
        if known is not None and short == short_text(faq):
            return short if known.short == short else full
        return short if self.find(short)[:1] == (faq,) else full

    def _look_up(self, text: str) -> tuple[tuple[Faq, ...], bool]:
        if not self._followups.remembers(text):
            if self._left <= 0:
                self.spent = True
                return (), False
            self._left -= 1
        return self._followups.look_up(text)


def _alternate(first: Iterable[Faq], second: Iterable[Faq]) -> Iterator[Faq]:
    for pair in zip_longest(first, second):
        yield from (faq for faq in pair if faq is not None)


def alike(one: str, other: str) -> bool:
    """True for titles that say nearly the same (Jaccard index of character pairs)."""
    a, b = (({key[i : i + 2] for i in range(len(key) - 1)}) for key in (letters(one), letters(other)))
    return len(a & b) > _ALIKE * len(a | b) if a and b else one == other
