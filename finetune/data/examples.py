"""Makes training conversations of FAQs: prompts as at run time, answers in the FAQ's own sentences.

Every prompt comes from `retrieval.prompt.ground`, with passages that the run-time search found. Knows
kinds of examples; knows no files, no tokens and no splitting (it is told which FAQs may appear).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from retrieval.corpus.faq import Corpus, Faq
from retrieval.prompt import NOT_FOUND, REFUSAL, Exchange, Message, Passage, ground, load_system_prompt
from retrieval.quoting.compose import compose
from retrieval.ranking.ranker import Hit
from retrieval.search import Searcher

Kind = Literal["grounded", "not_found", "multi_turn", "followup", "off_topic", "unanswerable"]
_DEPTH = 20
_MOVED = 0.3
_TOO_NEAR = 0.93
_LEADS = ("그럼 ", "그러면 ", "", "그리고 ")


@dataclass(frozen=True, slots=True)
class Example:
    """One conversation to learn.

    Attributes:
        kind: what it teaches.
        faq_id: the gold, empty where there is none.
        question: what was asked, readable on its own.
        messages: system, history, passages with the question, and the answer.
    """

    kind: Kind
    faq_id: str
    question: str
    messages: tuple[Message, ...]

    @property
    def answer(self) -> str:
        """What is to be learnt."""
        return self.messages[-1]["content"]


class ExampleMaker:
    """Makes examples for one side of the split; the same arguments give the same examples.

    Args:
        corpus: all FAQs.
        expansions: other ways of asking, by FAQ id.
        searcher: the run-time search.
        allowed: ids that may appear in a prompt.
        passages: FAQs per prompt.
        seed: of positions and choices.
    """

    def __init__(
        self,
        corpus: Corpus,
        expansions: Mapping[str, Sequence[str]],
        searcher: Searcher,
        *,
        allowed: Collection[str],
        passages: int,
        seed: int,
    ) -> None:
        self._corpus, self._expansions, self._searcher = corpus, expansions, searcher
        self._allowed, self._passages, self._seed = allowed, passages, seed
        self._system = load_system_prompt()
        self._hits: dict[str, tuple[Hit, ...]] = {}

    def grounded(self, faq: Faq, *, questions: int) -> list[Example]:
        """Answers to the FAQ's title and its expansions, as many as there are up to `questions`."""
        asked = [faq.body_question, *self._expansions.get(faq.id, ())][:questions]
        return [e for q in dict.fromkeys(asked) if (e := self._answered("grounded", faq, q))]

    def not_found(self, faq: Faq, alike: Collection[str]) -> Example | None:
        """The FAQ's question while it, and every FAQ in `alike` or too near to it, is missing."""
        asked = (self._expansions.get(faq.id) or (faq.body_question,))[0]
        found = [
            hit.faq
            for hit in self._search(asked)
            if hit.faq.id not in alike
            and max(hit.scores["dense_question"], hit.scores["dense_expansion"]) < _TOO_NEAR
        ]
        return self._example("not_found", faq.id, asked, found[: self._passages], NOT_FOUND)

    def multi_turn(self, faq: Faq) -> Example | None:
        """The FAQ's question, complete in itself, after a turn about a neighbour."""
        history = self._turn_before(faq)
        asked = (self._expansions.get(faq.id) or (faq.body_question,))[0]
        return self._answered("multi_turn", faq, asked, history) if history else None

    def followup(self, faq: Faq) -> Example | None:
        """The FAQ's question in a few words after a turn about a neighbour.

        The standalone question is the one a model would write, or, as the rules do, the turn before
        with the words put after it.
        """
        history = self._turn_before(faq)
        if not history:
            return None
        chance = self._chance("followup", faq.id)
        short = (self._expansions.get(faq.id) or (faq.body_question,))[-1]
        typed = chance.choice(_LEADS) + short
        rewritten = chance.random() < 0.5
        standalone = faq.body_question if rewritten else f"{history[-1].question} {typed}"
        return self._answered("followup", faq, standalone, history)

    def off_topic(self, text: str) -> Example:
        """The refusal, whatever the search found."""
        return self._example("off_topic", "", text, self._found(text), REFUSAL)

    def unanswerable(self, text: str) -> Example:
        """The honest not-found to a question about the store that no FAQ answers."""
        return self._example("unanswerable", "", text, self._found(text), NOT_FOUND)

    def _answered(
        self, kind: Kind, faq: Faq, standalone: str, history: Sequence[Exchange] = ()
    ) -> Example | None:
        found = [other for other in self._found(standalone) if other.id != faq.id]
        chance = self._chance(kind, faq.id, standalone)
        place = self._rank(faq, standalone)
        if place is None or chance.random() < _MOVED:
            place = chance.randrange(min(self._passages, len(found) + 1))
        shown = [*found[:place], faq, *found[place:]][: self._passages]
        number = shown.index(faq) + 1
        pieces = compose(standalone, [Passage(number, faq)], self._searcher.tokenizer)
        if not pieces:
            return None
        return self._example(kind, faq.id, standalone, shown, "".join(pieces), history)

    def _example(
        self,
        kind: Kind,
        faq_id: str,
        standalone: str,
        faqs: Sequence[Faq],
        answer: str,
        history: Sequence[Exchange] = (),
    ) -> Example:
        prompt = ground(standalone, faqs, system=self._system, history=history)
        messages = (*prompt.messages(), Message(role="assistant", content=answer))
        return Example(kind, faq_id, standalone, messages)

    def _found(self, question: str) -> list[Faq]:
        return [hit.faq for hit in self._search(question)][: self._passages]

    def _search(self, question: str) -> tuple[Hit, ...]:
        """The allowed ones among the best hits, best first."""
        if question not in self._hits:
            hits = self._searcher.search(question, limit=_DEPTH).hits
            self._hits[question] = tuple(hit for hit in hits if hit.faq.id in self._allowed)
        return self._hits[question]

    def _rank(self, faq: Faq, question: str) -> int | None:
        found = self._found(question)
        return found.index(faq) if faq in found else None

    def _turn_before(self, faq: Faq) -> tuple[Exchange, ...]:
        """A turn about a neighbour: a related FAQ, else one of the nearest."""
        related = (self._corpus.find_question(title) for title in faq.related)
        near = [other for other in related if other and other.id in self._allowed and other.id != faq.id]
        near = near or [other for other in self._found(faq.body_question) if other.id != faq.id]
        if not near:
            return ()
        other = self._chance("before", faq.id).choice(near)
        asked = (self._expansions.get(other.id) or (other.body_question,))[0]
        pieces = compose(asked, [Passage(1, other)], self._searcher.tokenizer)
        return (Exchange(asked, "".join(pieces)),) if pieces else ()

    def _chance(self, *key: str) -> random.Random:
        return random.Random(":".join((str(self._seed), *key)))


def chosen_share(ids: Sequence[str], share: float, *, key: str, seed: int) -> set[str]:
    """Picks `share` of the ids, the same ones each time; `key` tells one choice from another."""
    order: Callable[[str], float] = lambda id: random.Random(f"{seed}:{key}:{id}").random()  # noqa: E731
    return set(sorted(ids, key=order)[: round(share * len(ids))])
