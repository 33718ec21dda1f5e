"""What a turn has shown so far, so that what is saved is what the stream showed.

Knows nothing of where events go.
"""

from __future__ import annotations

from datetime import datetime

from api.events import (
    Delta,
    ProviderSwitched,
    QuestionRewritten,
    Sources,
    Suggestions,
    TurnCompleted,
    TurnEvent,
    TurnFailed,
    TurnStarted,
    Verdict,
)
from api.turns.runners.base import TurnRequest
from api.turns.saved import SavedTurn, now
from retrieval.quoting.citations import cited_numbers


class Transcript:
    """Collects the events of one turn."""

    def __init__(self, request: TurnRequest) -> None:
        self.request = request
        self.started_at: datetime = now()
        self._provider, self._model = request.provider, ""
        self._standalone = ""
        self._text: list[str] = []
        self._sources = Sources(sources=())
        self._suggestions = Suggestions(suggestions=())

    @property
    def text(self) -> str:
        """The answer as shown, since the last switch of provider."""
        return "".join(self._text)

    def add(self, event: TurnEvent) -> None:
        """Takes an event into account."""
        match event:
            case Delta():
                self._text.append(event.text)
            case ProviderSwitched():
                self._text.clear()
                self._provider = event.to
            case TurnStarted():
                self._provider, self._model = event.provider, event.model
            case QuestionRewritten():
                self._standalone = event.standalone
            case Sources():
                self._sources = event
            case Suggestions():
                self._suggestions = event
            case _:
                pass

    def stopped(self) -> TurnCompleted:
        """The closing event of a turn that was stopped here."""
        text = self.text
        known = {source.n for source in self._sources.sources}
        verdict: Verdict = "answered" if known else "not_found"
        return TurnCompleted(
            answer=text,
            verdict=verdict,
            citations=tuple(n for n in cited_numbers(text) if n in known),
            provider=self._provider,
            stopped=True,
        )

    def running(self) -> SavedTurn:
        """The record of the turn while it runs."""
        return SavedTurn(
            turn_id=self.request.turn_id,
            question=self.request.question,
            provider=self._provider,
            model=self._model,
            standalone=self._standalone or self.request.question,
            sources=self._sources.sources,
            suggestions=self._suggestions.suggestions,
            started_at=self.started_at,
        )

    def closed(self, final: TurnCompleted | TurnFailed) -> SavedTurn:
        """The record of the turn with its end."""
        record = self.running()
        if isinstance(final, TurnFailed):
            return record.failed(final).model_copy(update={"answer": self.text})
        return record.model_copy(
            update={
                "status": "stopped" if final.stopped else "completed",
                "answer": final.answer,
                "verdict": final.verdict,
                "citations": final.citations,
                "finish_reason": final.finish_reason,
                "truncated": final.truncated,
                "provider": final.provider or self._provider,
                "ended_at": now(),
                "final": final,
            }
        )
