"""A provider's text on its way to the reader: what is removed, what is found out about it, where it ends.

Knows text and passages; does not know who writes it, nor events.
"""

from __future__ import annotations

from collections.abc import Sequence

from api.conversation.checks.attribution import source_of
from api.conversation.checks.bounds import AnswerBounds
from api.conversation.checks.citations import CitationFilter
from api.conversation.checks.derailing import KoreanCheck, RepetitionCheck
from api.conversation.checks.grounding import SENTENCE_END, GroundingCheck
from api.events import AnswerFault, FinishReason, Verdict
from retrieval.prompt import Passage
from retrieval.quoting.citations import strip_citations
from retrieval.scope.fixed_answers import UNSURE, FixedSentence


class AnswerText:
    """One answer as it streams; begun anew where another provider starts it again.

    A model's text is held to more than quotations of the FAQ itself: it has to be Korean, say more than the
    title of a passage, not say the same over and over, and cite what it is from. One that cites nothing gets
    the citation where its source is sure.

    Attributes:
        faults: what was wrong with it, each kind once.

    Args:
        passages: what may be cited, numbered from 1.
        bounds: where the answer ends.
        llm: a model writes it.
        drop_ungrounded: leave out a model's sentences whose figures or menus no cited FAQ holds.
    """

    def __init__(
        self, passages: Sequence[Passage], bounds: AnswerBounds, *, llm: bool, drop_ungrounded: bool = False
    ) -> None:
        self._passages, self._bounds, self._llm, self._drop = tuple(passages), bounds, llm, drop_ungrounded
        self._korean, self._repetition = KoreanCheck(), RepetitionCheck()
        self._shown, self._asks = "", False
        self.faults: list[AnswerFault] = []
        self._check()

    def _check(self) -> None:
        faqs = [p.faq for p in self._passages] if self._llm else []
        self._citations = CitationFilter(len(self._passages))
        self._fixed = FixedSentence(title for faq in faqs for title in (faq.question, faq.body_question))
        self._grounding = GroundingCheck(self._passages if self._llm else (), drop=self._drop)

    def give(self, passages: int) -> None:
        """Only so many of the first passages may be cited; said before the first text."""
        self._passages = self._passages[:passages]
        self._check()

    def feed(self, text: str) -> str:
        """Takes the next piece and returns what can be shown now (possibly nothing)."""
        if self._llm:
            text = self._korean.feed(text)
        return self._bounded(self._grounding.feed(self._fixed.feed(self._citations.feed(text))))

    def flush(self) -> str:
        """Returns what was held back at the end of the answer, and a citation that it lacks."""
        held = self._citations.feed(self._korean.flush()) + self._citations.flush()
        held = self._grounding.feed(self._fixed.feed(held) + self._fixed.flush())
        rest = self._bounded(held + self._grounding.flush()) + self._bounds.flush()
        if not self._llm:
            return rest
        if self._korean.foreign:
            self.faults.append("wrong_language")
            return UNSURE
        self._asks = not self._fixed.verdict and _is_question(self._shown)
        if self._fixed.title_only or self._asks:
            self.faults.append("title_only")
        if self._repetition.found:
            self.faults.append("repetition")
        answers = not (self._fixed.verdict or self._asks)
        return rest + self._citation() if answers and not self.cited else rest

    def _bounded(self, text: str) -> str:
        if self._llm:
            text = self._repetition.feed(text)
        shown = self._bounds.feed(text)
        self._shown += shown
        return shown

    def _citation(self) -> str:
        """The citation of an answer without any; empty where its source is not sure."""
        source = source_of(self._shown, self._passages)
        if source is None:
            self.faults.append("uncited")
            return ""
        self.faults.append("repaired")
        return self._citations.feed(f"[{source}]" if self._shown[-1:].isspace() else f" [{source}]")

    @property
    def ended(self) -> bool:
        """Nothing more may be shown."""
        return self._bounds.ended or self._repetition.found or self._korean.foreign

    @property
    def cited(self) -> tuple[int, ...]:
        """The passages that it cites, in order of first appearance."""
        return tuple(self._citations.cited)

    @property
    def dropped_citations(self) -> int:
        """How many citations were removed because no such passage was given."""
        return self._citations.dropped

    @property
    def ungrounded(self) -> tuple[str, ...]:
        """A model's sentences that hold a figure or menu of no passage they cite."""
        return tuple(self._grounding.ungrounded)

    @property
    def verdict(self) -> Verdict:
        """What the whole answer amounts to; one that cites nothing shows nowhere that the FAQ says so."""
        return self._fixed.verdict or ("answered" if self._citations.cited and not self._asks else "unsure")

    def finish(self, said: FinishReason) -> FinishReason:
        """Why it ended: as the provider `said`, unless a bound, or its going round in circles, ended it."""
        if self._repetition.found:
            return "length"
        if self._korean.foreign:
            return "stop"
        if not self._bounds.ended:
            return said
        return "length" if self._bounds.truncated else "stop"


def _is_question(answer: str) -> bool:
    """Whether the whole answer is one question: a title in other words, and nothing after it."""
    said = strip_citations(answer).strip()
    return said.endswith(("?", "？")) and SENTENCE_END.search(said) is None
