"""The runner seam: who carries out a turn. Knows no HTTP and no answer logic."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from api.providers.base import GenerationOptions


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """One question to answer; JSON-serialisable so that it can travel in a queue.

    Attributes:
        turn_id: unique; events and idempotency hang on it.
        session_id: the conversation it belongs to.
        question: what the seller typed (already validated).
        provider: the provider's name.
        options: sampling options.
        history: exchanges given by the caller (OpenAI route) instead of the session's.
        trace: headers that carry the trace context across processes.
        channel: the way the question came in, for the history.
    """

    turn_id: str
    session_id: str
    question: str
    provider: str
    options: GenerationOptions = field(default_factory=GenerationOptions)
    history: tuple[tuple[str, str], ...] | None = None
    trace: dict[str, Any] = field(default_factory=dict)
    channel: str = "api"


class TurnRunner(Protocol):
    """Runs turns; their events appear in the event log."""

    async def start(self, request: TurnRequest) -> None:
        """Begins the turn and returns at once. Raises `Overloaded` at the bound."""
        ...

    async def stop(self, turn_id: str) -> None:
        """Asks the turn to end; wherever it runs. Unknown or ended turns are ignored."""
        ...

    async def drain(self, timeout_s: float) -> None:
        """Waits for running turns, then cancels what is left after `timeout_s` seconds."""
        ...
