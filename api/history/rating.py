"""What somebody thinks of an answer: kept for whoever may read the turn. Knows no wire format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.access.auth import Caller
from api.errors import NotFound
from api.history.store import Rating

if TYPE_CHECKING:
    from api.services import Services


async def rate_turn(
    services: Services, caller: Caller, turn_id: str, rating: Rating, *, reason: str = "", comment: str = ""
) -> None:
    """Keeps the rating; a later one replaces it.

    Raises:
        NotFound: no such turn of this caller, or the settings turn the history off.
        Conflict: it still runs.
        HistoryUnavailable: the database is away.
    """
    if services.history is None:
        raise NotFound("이 서버는 질문 기록을 남기지 않습니다(history.enabled).")
    session_id, verdict, provider = await readable_turn(services, caller, turn_id)
    await services.history.rate(turn_id, rating, session_id=session_id, reason=reason, comment=comment)
    services.metrics.feedback.labels(provider, verdict, rating).inc()


async def readable_turn(services: Services, caller: Caller, turn_id: str) -> tuple[str, str, str]:
    """Session, verdict and provider of a turn of this caller, however old it is.

    Raises:
        NotFound, Conflict, HistoryUnavailable: as `rate_turn`.
    """
    try:
        session_id, final = await services.turns.ended(turn_id, owner=caller.id)
    except NotFound:
        # The state store forgets a turn after a day.
        row = await services.history.turn(turn_id) if services.history else None
        if row is None or row["owner"] != caller.id:
            raise
        return row["session_id"], row["verdict"], row["provider"]
    return session_id, getattr(final, "verdict", ""), getattr(final, "provider", "")
