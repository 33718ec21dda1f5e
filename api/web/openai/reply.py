"""What a turn has said so far, for both of OpenAI's ways to write it: completions and responses.

Knows events and how answers cite; no wire format, no HTTP and no runner.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from api.access.keys import Key
from api.errors import ApiError
from api.events import (
    Delta,
    FinishReason,
    ProviderSwitched,
    Source,
    Sources,
    Suggestion,
    Suggestions,
    TurnCompleted,
    TurnEvent,
    TurnFailed,
    Usage,
)
from api.web.openai.dialogue import follow_up_lines
from retrieval.quoting.citations import CITATION, numbers_of


@dataclass(slots=True)
class Reply:
    """One answer as its turn goes on.

    Attributes:
        turn_id: the turn.
        model: as the caller named it.
        created: seconds since 1970.
        follow_ups: end the text with them; with choices it always ends.
        faqs: where FAQs can be read: a URL that an id is added to.
        text: so far.
        final: the last event, once it is here.
        key: of the caller, who reads as long as it is valid.
    """

    turn_id: str
    model: str
    created: int
    follow_ups: bool = False
    faqs: str = "/faqs/"
    text: str = ""
    sources: tuple[Source, ...] = ()
    suggestions: tuple[Suggestion, ...] = ()
    final: TurnCompleted | TurnFailed | None = None
    annotations: list[dict[str, Any]] = field(default_factory=list)
    scanned: int = 0
    key: Key | None = None

    def add(self, event: TurnEvent) -> str:
        """Takes in the next event and returns the text that it adds; a switch starts the text again."""
        shown = ""
        match event:
            case Delta(text=shown):
                pass
            case ProviderSwitched():
                self.text, self.annotations, self.scanned = "", [], 0
            case Sources(sources=sources):
                self.sources = sources
            case Suggestions(kind=kind, suggestions=suggestions):
                self.suggestions = suggestions
                # An unsure answer is its choices: without them it would say nothing.
                shown = follow_up_lines(suggestions) if self.follow_ups or kind == "choices" else ""
            case TurnCompleted() | TurnFailed():
                self.final = event
            case _:
                pass
        self.text += shown
        return shown

    def cite(self) -> list[dict[str, Any]]:
        """The citations that the text has since the last call, as `url_citation`s of its FAQs."""
        known = {source.n: source for source in self.sources}
        added: list[dict[str, Any]] = []
        for match in CITATION.finditer(self.text, self.scanned):
            self.scanned = match.end()
            start = match.start() + match[0].startswith(" ")
            for source in filter(None, (known.get(number) for number in numbers_of(match))):
                added.append(
                    {
                        "type": "url_citation",
                        "url": f"{self.faqs}{source.faq_id}",
                        "title": source.question,
                        "start_index": start,
                        "end_index": match.end(),
                    }
                )
        self.annotations += added
        return added

    @property
    def usage(self) -> Usage:
        """Tokens, as far as they are known."""
        return self.final.usage if isinstance(self.final, TurnCompleted) else Usage()

    @property
    def finish_reason(self) -> FinishReason:
        """Why the answer ended."""
        return self.final.finish_reason if isinstance(self.final, TurnCompleted) else "stop"

    def smartstore(self) -> dict[str, Any]:
        """What this server says beyond OpenAI's fields; SDKs ignore it."""
        told: dict[str, Any] = {
            "turn_id": self.turn_id,
            "sources": [source.model_dump(mode="json") for source in self.sources],
            "suggestions": [each.model_dump(mode="json") for each in self.suggestions],
        }
        if isinstance(self.final, TurnCompleted):
            final = self.final
            told |= {"verdict": final.verdict, "intent": final.intent, "provider": final.provider}
        return told


def status_of(code: str) -> int:
    """The HTTP status of a turn that failed with `code`."""
    kinds: list[type[ApiError]] = [ApiError]
    for kind in kinds:
        if kind.code == code:
            return kind.status
        kinds.extend(kind.__subclasses__())
    return 503 if code == "interrupted" else 500
