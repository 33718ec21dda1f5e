"""A question becomes a turn: checked, put into a session, recorded once, started.

The one way in for SSE, WebSocket, OpenAI route and terminal. Knows no wire format.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from api.access.auth import Caller
from api.access.visits import check_visit, own_repeat, within_budget
from api.errors import InvalidRequest
from api.observability.tracing import trace_headers
from api.providers.base import GenerationOptions
from api.services import Services
from api.text import check_text
from api.turns.records import StartedTurn
from api.turns.runners.base import TurnRequest
from api.turns.saved import new_turn_id
from retrieval.characters import is_blank, plain

# A letter of three jamo in decomposed text, and room for characters that nobody sees.
_RAW_PER_CHAR = 4
_MOST_ANSWER_CHARS = 8000
_MOST_KEY_CHARS = 200


@dataclass(frozen=True, slots=True)
class Question:
    """What a caller asks.

    Attributes:
        text: the question as typed.
        session_id: the conversation to continue; None begins one.
        provider: overrides the session's provider, and becomes it.
        idempotency_key: the same key gives the same turn.
        options: sampling options.
        history: exchanges that the caller tells; the turn has no session then.
        channel: the way it came in, for the history.
    """

    text: str
    session_id: str | None = None
    provider: str | None = None
    idempotency_key: str = ""
    options: GenerationOptions = GenerationOptions()
    history: tuple[tuple[str, str], ...] | None = None
    channel: str = "api"

    def fingerprint(self) -> str:
        """What must be equal where an Idempotency-Key is."""
        parts = [self.text, self.session_id, self.provider]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def check_question(text: str, *, max_chars: int) -> str:
    """The question in normal form, without outer blanks and without what nobody can see.

    Raises `InvalidRequest` when blank or over-long; its length is looked at before anything else.
    """
    if len(text) <= max_chars * _RAW_PER_CHAR:
        text = plain(check_text(text, where="질문")).strip()
        if is_blank(text):
            raise InvalidRequest("질문이 비어 있습니다. 궁금한 내용을 입력해 주세요.")
    if len(text) > max_chars:
        raise InvalidRequest(f"질문이 {len(text):,}자입니다. {max_chars:,}자까지 보낼 수 있습니다.")
    return text


def _told(history: tuple[tuple[str, str], ...], *, max_chars: int) -> tuple[tuple[str, str], ...]:
    """A history that the caller tells, cut to what a history of our own could hold."""
    return tuple((plain(q[:max_chars]), plain(a[:_MOST_ANSWER_CHARS])) for q, a in history)


async def ask(services: Services, caller: Caller, question: Question) -> StartedTurn:
    """Starts the turn, or finds the one that this Idempotency-Key started before.

    Raises:
        InvalidRequest: blank or over-long question, malformed session id, unknown provider.
        NotFound: no such session of this caller.
        Conflict: the Idempotency-Key came with another question before.
        TooMany: as many turns of this key run as may.
        Overloaded: too many turns run, or this process ends.
    """
    services.readers.check_open()
    settings = services.settings
    max_chars = settings.server.max_question_chars
    text = check_question(question.text, max_chars=max_chars)
    if len(question.idempotency_key) > _MOST_KEY_CHARS:
        raise InvalidRequest(f"Idempotency-Key는 {_MOST_KEY_CHARS}자까지 보낼 수 있습니다.")
    services.providers.get(question.provider)
    await check_visit(services, caller, session_id=question.session_id, provider=question.provider)
    chosen, session_id = question.provider or "", ""
    if question.history is not None:
        pass
    elif question.session_id is not None:
        session = await services.sessions.get(question.session_id, owner=caller.id)
        if chosen and chosen != session.provider:
            await services.sessions.choose_provider(session.session_id, chosen, owner=caller.id)
        chosen, session_id = chosen or session.provider, session.session_id
    else:
        session = await services.sessions.create(owner=caller.id, provider=chosen)
        session_id = session.session_id
    turn_id = new_turn_id()
    if caller.key is not None:
        await services.access.slots.enter(caller.key, turn_id)
    request = TurnRequest(
        turn_id=turn_id,
        session_id=session_id,
        question=text,
        provider=await within_budget(services, caller, services.providers.get(chosen or None).name),
        options=question.options,
        history=None if question.history is None else _told(question.history, max_chars=max_chars),
        trace=trace_headers(),
        channel=question.channel,
    )
    begun = await services.turns.begin(
        request,
        owner=caller.id,
        idempotency_key=own_repeat(caller, question.idempotency_key),
        fingerprint=question.fingerprint(),
    )
    if begun.created:
        await services.runner.start(request)
    elif caller.key is not None:
        await services.access.slots.leave(caller.key, request.turn_id)
    return begun
