"""A provider's text on its way to the reader: what is removed, what is found out about it, where it ends.

Knows text and passages; does not know who writes it, nor events.
"""

from __future__ import annotations

from collections.abc import Sequence

from api.conversation.bounds import AnswerBounds
from api.conversation.citations import CitationFilter
from api.conversation.grounding import GroundingCheck
from api.events import FinishReason, Verdict
from retrieval.prompt import Passage
from retrieval.scope.fixed_answers import FixedSentence


class AnswerText:
    """One answer as it streams; begun anew where another provider starts it again.

    Args:
        passages: what may be cited, numbered from 1.
        bounds: where the answer ends.
        llm: a model writes it; quotations of the FAQ itself need no check.
        drop_ungrounded: leave out a model's sentences whose figures or menus no cited FAQ holds.
    """

    def __init__(
        self, passages: Sequence[Passage], bounds: AnswerBounds, *, llm: bool, drop_ungrounded: bool = False
    ) -> None:
        self._passages, self._bounds, self._llm, self._drop = tuple(passages), bounds, llm, drop_ungrounded
        self._fixed = FixedSentence()
        self._check()

    def _check(self) -> None:
        self._citations = CitationFilter(len(self._passages))
        self._grounding = GroundingCheck(self._passages if self._llm else (), drop=self._drop)

    def give(self, passages: int) -> None:
        """Only so many of the first passages may be cited; said before the first text."""
        self._passages = self._passages[:passages]
        self._check()

    def feed(self, text: str) -> str:
        """Takes the next piece and returns what can be shown now (possibly nothing)."""
        return self._bounds.feed(self._grounding.feed(self._fixed.feed(self._citations.feed(text))))

    def flush(self) -> str:
        """Returns what was held back at the end of the answer."""
        held = self._grounding.feed(self._fixed.feed(self._citations.flush()) + self._fixed.flush())
        return self._bounds.feed(held + self._grounding.flush()) + self._bounds.flush()

    @property
    def ended(self) -> bool:
        """Nothing more may be shown."""
        return self._bounds.ended

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
        return self._fixed.verdict or ("answered" if self._citations.cited else "unsure")

    def finish(self, said: FinishReason) -> FinishReason:
        """Why it ended: as the provider `said`, unless a bound ended it."""
        if not self._bounds.ended:
            return said
        return "length" if self._bounds.truncated else "stop"
