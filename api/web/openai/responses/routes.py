"""The Responses API over `faq` models: make, read, follow again, cancel and delete responses.

A stored response is a turn of a session; `previous_response_id` goes on in that session, or, where
the conversation has gone on since, in a copy of it up to there. Raw models never get here.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse

from api.access.auth import Caller
from api.errors import ApiError, Conflict, NotFound
from api.events import Sources, Suggestions
from api.services import Services
from api.turns.saved import SavedTurn, new_turn_id, now
from api.turns.start import Question, ask
from api.web.openai.dialogue import question_of
from api.web.openai.following import (
    chosen_provider,
    collect,
    end,
    faqs_url,
    rate_by_metadata,
    turn_id_of,
    wants_follow_ups,
)
from api.web.openai.responses.answer import ResponseReply, response_id
from api.web.openai.responses.requests import ResponseRequest
from api.web.openai.responses.stored import StoredResponse, StoredResponses
from api.web.routes.dependencies import CallerDep, ServicesDep
from api.web.streaming import EventStream

router = APIRouter(prefix="/v1/responses", tags=["OpenAI"])
_RESPONSE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A response, or its typed events.",
        "content": {"application/json": {}, "text/event-stream": {}},
    }
}


@router.post("", responses=_RESPONSE)
async def create(
    body: ResponseRequest, request: Request, services: ServicesDep, caller: CallerDep
) -> Response:
    """Answers the last user message from the FAQ, with what came before as its history."""
    provider = chosen_provider(body.model, services)
    body.check()
    await rate_by_metadata(body.metadata, services, caller, of=body.previous_response_id)
    storing = _stored(services)
    place = await _place(body, services, storing, caller)
    asked = Question(
        place.question,
        place.session_id,
        provider=provider,
        options=body.options(),
        history=place.history,
        channel="openai",
    )
    begun = await ask(services, caller, asked)
    kept = StoredResponse(
        turn_id=begun.turn_id,
        session_id=begun.session_id,
        owner=caller.id,
        model=body.model,
        created=int(time.time()),
        question=place.question,
        faqs=faqs_url(request, services),
        follow_ups=wants_follow_ups(body.smartstore, services),
        echo=body.echo(),
        metadata=body.metadata or {},
    )
    if body.store is not False:
        await storing.put(kept)
    reply = _reply(kept)
    reply.key = caller.key
    if body.stream:
        leaving = None if body.background else partial(end, services, reply)
        return EventStream(_stream(services, reply), at_end=leaving)
    if not body.background:
        await collect(request, services, reply)
    return JSONResponse(reply.whole())


@router.get("/{response}", responses=_RESPONSE)
async def read(
    response: str,
    services: ServicesDep,
    caller: CallerDep,
    stream: bool = False,
    starting_after: int | None = Query(None, ge=0, le=2**53),
) -> Response:
    """A stored response as it stands; with `stream`, its events again, then live."""
    kept = await _stored(services).get(response, owner=caller.id)
    if stream:
        after = -1 if starting_after is None else starting_after
        reply = _reply(kept)
        reply.key = caller.key
        return EventStream(_stream(services, reply, after=after))
    return JSONResponse((await _as_saved(services, kept)).whole())


@router.post("/{response}/cancel")
async def cancel(response: str, services: ServicesDep, caller: CallerDep) -> JSONResponse:
    """Stops a response that is still written; one that has ended stays as it is."""
    kept = await _stored(services).get(response, owner=caller.id)
    return JSONResponse((await _ended(services, kept)).whole())


@router.delete("/{response}")
async def delete(response: str, services: ServicesDep, caller: CallerDep) -> dict[str, Any]:
    """Forgets a response, and its turn in the conversation."""
    storing = _stored(services)
    kept = await storing.get(response, owner=caller.id)
    # A turn that still runs would save itself again.
    await _ended(services, kept)
    await storing.delete(response)
    await services.sessions.drop_turn(kept.session_id, kept.turn_id)
    return {"id": response, "object": "response", "deleted": True}


@router.get("/{response}/input_items")
async def input_items(response: str, services: ServicesDep, caller: CallerDep) -> dict[str, Any]:
    """What was asked."""
    kept = await _stored(services).get(response, owner=caller.id)
    id_ = "in_" + kept.turn_id
    item = {
        "id": id_,
        "type": "message",
        "role": "user",
        "status": "completed",
        "content": [{"type": "input_text", "text": kept.question}],
    }
    return {"object": "list", "data": [item], "first_id": id_, "last_id": id_, "has_more": False}


class _Place:
    """Where a question belongs: in a session, or after a history that is told with it."""

    def __init__(
        self, question: str, session_id: str | None = None, history: tuple[tuple[str, str], ...] | None = None
    ) -> None:
        self.question, self.session_id, self.history = question, session_id, history


async def _place(
    body: ResponseRequest, services: Services, storing: StoredResponses, caller: Caller
) -> _Place:
    """The question of a request and its place. Raises `NotFound`, `Conflict`, `InvalidRequest`."""
    most = services.settings.conversation.history_turns
    answers = {id_: await _answer_of(id_, services, storing, caller) for id_ in body.references()}
    question, history = question_of(body.messages(answers), most=most)
    earlier: list[SavedTurn] = []
    session_id, last = None, True
    if body.previous_response_id is not None:
        kept = await storing.get(body.previous_response_id, owner=caller.id)
        session_id, (earlier, last) = kept.session_id, await _up_to(kept, services, caller)
    if body.store is False:
        pairs = [(turn.question, turn.answer) for turn in earlier if turn.remembered()]
        return _Place(question, history=(*pairs, *history)[-most:] if most else ())
    if (session_id and not last) or history:
        session = await services.sessions.create(owner=caller.id)
        session_id = session.session_id
        for turn in [*earlier, *(_told(*pair) for pair in history)]:
            await services.sessions.save_turn(session_id, turn)
    return _Place(question, session_id)


async def _up_to(kept: StoredResponse, services: Services, caller: Caller) -> tuple[list[SavedTurn], bool]:
    """The conversation up to a response, and whether it is the last of it."""
    turns = await services.turns.history(kept.session_id, owner=caller.id)
    ids = [turn.turn_id for turn in turns]
    if kept.turn_id not in ids:
        raise NotFound(f"응답 '{response_id(kept.turn_id)}'의 대화가 더 이상 남아 있지 않습니다.")
    at = ids.index(kept.turn_id)
    if not turns[at].ended:
        raise Conflict("이전 응답이 아직 끝나지 않았습니다. 끝난 뒤에 이어 주세요.")
    return turns[: at + 1], at + 1 == len(turns)


async def _answer_of(id_: str, services: Services, storing: StoredResponses, caller: Caller) -> str:
    """The text of an item that is only referred to."""
    kept = await storing.get(response_id(turn_id_of(id_)), owner=caller.id)
    turn = await services.sessions.saved_turn(kept.session_id, kept.turn_id)
    return turn.answer if turn is not None else ""


def _told(question: str, answer: str) -> SavedTurn:
    """An exchange that the caller tells, as a turn of a session."""
    return SavedTurn(
        turn_id=new_turn_id(),
        question=question,
        answer=answer,
        status="completed",
        verdict="answered",
        started_at=now(),
        ended_at=now(),
    )


def _stored(services: Services) -> StoredResponses:
    return StoredResponses(services.state, ttl_s=services.settings.state.session_ttl_s)


def _reply(kept: StoredResponse) -> ResponseReply:
    return ResponseReply(
        kept.turn_id,
        kept.model,
        kept.created,
        kept.follow_ups,
        kept.faqs,
        session_id=kept.session_id,
        echo=kept.echo,
        metadata=kept.metadata,
    )


async def _as_saved(services: Services, kept: StoredResponse) -> ResponseReply:
    """A response as its session has it: whole, or still being written."""
    reply = _reply(kept)
    turns = await services.turns.history(kept.session_id, owner=kept.owner)
    turn = next((turn for turn in turns if turn.turn_id == kept.turn_id), None)
    if turn is None:
        raise NotFound(f"응답 '{response_id(kept.turn_id)}'의 대화가 더 이상 남아 있지 않습니다.")
    if turn.final is not None:
        reply.text = turn.answer
        reply.add(Sources(sources=turn.sources))
        reply.add(Suggestions(suggestions=turn.suggestions))
        reply.add(turn.final)
        reply.completed = int(turn.ended_at.timestamp()) if turn.ended_at else 0
    return reply


async def _ended(services: Services, kept: StoredResponse) -> ResponseReply:
    """A response that has ended, stopped where it was still being written."""
    reply = await _as_saved(services, kept)
    if reply.final is None:
        await services.runner.stop(kept.turn_id)
        reply = _reply(kept)
        async with aclosing(services.turns.follow(kept.turn_id)) as events:
            async for _, event in events:
                reply.add(event)
    return reply


async def _stream(services: Services, reply: ResponseReply, *, after: int = -1) -> AsyncGenerator[bytes]:
    """The typed events with a number above `after`."""
    try:
        for number, event in enumerate(reply.opening()):
            if number > after:
                yield event
        async with aclosing(services.follow(reply.turn_id, key=reply.key)) as events:
            async for _, turn_event in events:
                first = reply.number
                for number, event in enumerate(reply.take(turn_event), start=first):
                    if number > after:
                        yield event
                if reply.final is not None:
                    return
    except ApiError as exc:
        yield reply.fault(exc.code, exc.message)
