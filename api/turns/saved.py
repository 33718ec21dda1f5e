"""What is kept of a turn and of a session. Knows nothing of where it is stored."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from api.conversation.memory import RememberedTurn
from api.errors import InvalidRequest
from api.events import FinishReason, Source, Suggestion, TurnCompleted, TurnFailed, Verdict

TurnStatus = Literal["queued", "running", "completed", "stopped", "failed"]
SESSION_ID = re.compile(r"s_[A-Za-z0-9_-]{24}")


def new_session_id() -> str:
    """An unguessable session id (144 random bits)."""
    return f"s_{secrets.token_urlsafe(18)}"


def new_turn_id() -> str:
    """An unguessable turn id (144 random bits)."""
    return f"t_{secrets.token_urlsafe(18)}"


def check_session_id(session_id: str) -> str:
    """Returns the id; raises `InvalidRequest` for one this service cannot have made."""
    if not SESSION_ID.fullmatch(session_id):
        shown = session_id[:40]
        raise InvalidRequest(f"session_id '{shown}'의 형식이 올바르지 않습니다. 비워 두면 새로 만들어집니다.")
    return session_id


def now() -> datetime:
    """The current time in UTC."""
    return datetime.now(UTC)


class SessionInfo(BaseModel):
    """A session without its turns; `provider` is the one chosen for it (empty: the default)."""

    model_config = ConfigDict(frozen=True)

    session_id: str
    owner: str
    provider: str = ""
    created_at: datetime


class SavedTurn(BaseModel):
    """A turn as the session keeps it.

    Attributes:
        answer: as shown (of a stopped turn: as far as it was shown).
        sources: the FAQs given to the answer.
        finish_reason: why the answer ended.
        truncated: it is not whole.
        error: why a failed turn failed.
        final: the closing event, so that a run that died after saving can be finished.
    """

    model_config = ConfigDict(frozen=True)

    turn_id: str
    question: str
    status: TurnStatus = "running"
    provider: str = ""
    model: str = ""
    standalone: str = ""
    answer: str = ""
    verdict: Verdict | None = None
    citations: tuple[int, ...] = ()
    finish_reason: FinishReason = "stop"
    truncated: bool = False
    sources: tuple[Source, ...] = ()
    suggestions: tuple[Suggestion, ...] = ()
    started_at: datetime
    ended_at: datetime | None = None
    error: TurnFailed | None = None
    final: TurnCompleted | TurnFailed | None = None

    @property
    def ended(self) -> bool:
        """True when the turn has its closing event."""
        return self.final is not None

    def remembered(self) -> RememberedTurn | None:
        """The turn as the conversation remembers it; None if nothing was answered."""
        if self.verdict is None or not self.answer or self.status not in ("completed", "stopped"):
            return None
        faqs = {source.n: source.faq_id for source in self.sources}
        cited = tuple(dict.fromkeys(faqs[n] for n in self.citations if n in faqs))
        return RememberedTurn(
            question=self.question,
            standalone=self.standalone or self.question,
            answer=self.answer,
            verdict=self.verdict,
            answered=cited,
            suggested=tuple(offer.faq_id for offer in self.suggestions),
            intent=self.final.intent if isinstance(self.final, TurnCompleted) else "question",
        )

    def failed(self, error: TurnFailed) -> SavedTurn:
        """This turn, closed with an error."""
        return self.model_copy(update={"status": "failed", "error": error, "final": error, "ended_at": now()})
