"""What completions and responses share: who answers, and following the turn for a caller who may leave."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from typing import get_args

import anyio
from fastapi import Request

from api.access.auth import Caller
from api.errors import ApiError, InvalidRequest
from api.events import TurnFailed
from api.history.rating import rate_turn
from api.history.store import Rating, Reason
from api.providers.openai.provider import OpenAICompatible
from api.services import Services
from api.web.openai.models import faq_provider
from api.web.openai.reply import Reply, status_of
from api.web.openai.requests import Extra


class TurnFault(ApiError):
    """The turn ended without an answer."""

    def __init__(self, event: TurnFailed) -> None:
        super().__init__(event.message, english=f"the turn failed ({event.code})")
        self.code, self.status = event.code, status_of(event.code)


def chosen_provider(model: str, services: Services) -> str | None:
    """The provider that a `faq` model names, None for the default.

    Raises:
        UnknownModel: there is none of that name.
        ProviderRejected: one was named that has no key, so that it could never answer.
    """
    name = faq_provider(model, services.providers)
    provider = services.providers.get(name) if name else None
    if isinstance(provider, OpenAICompatible):
        provider.check_key()
    return name


def wants_follow_ups(extra: Extra, services: Services) -> bool:
    """Whether the answer's text ends with its follow-ups."""
    return services.settings.openai.follow_ups if extra.follow_ups is None else extra.follow_ups


def turn_id_of(answer_id: str) -> str:
    """The turn of a completion (`chatcmpl-t_…`), of a response (`resp_…`) or of its message (`msg_…`)."""
    return "t_" + answer_id.partition("_")[2]


async def rate_by_metadata(
    metadata: Mapping[str, str] | None, services: Services, caller: Caller, *, of: str | None = None
) -> bool:
    """Keeps what a request's metadata says of an earlier answer; False where it says nothing.

    Args:
        metadata: `smartstore_rating` (up, down), and optionally `smartstore_reason`, `smartstore_comment`
            and `smartstore_rating_of`, the answer's id.
        services: where it is kept.
        caller: whose answer it is.
        of: the answer's id where the metadata names none.

    Raises:
        InvalidRequest: another word, or no answer to rate.
        NotFound, Conflict, HistoryUnavailable: see `rate_turn`.
    """
    said = {name.removeprefix("smartstore_"): text for name, text in (metadata or {}).items()}
    rating, reason = said.get("rating", ""), said.get("reason", "")
    if not rating:
        return False
    if rating not in get_args(Rating) or reason not in ("", *get_args(Reason)):
        raise InvalidRequest(
            f"metadata: smartstore_rating은 {', '.join(get_args(Rating))} 가운데, "
            f"smartstore_reason은 {', '.join(get_args(Reason))} 가운데 하나여야 합니다."
        )
    id = said.get("rating_of") or of
    if not id:
        raise InvalidRequest("metadata: 어느 답변인지 smartstore_rating_of로 알려 주세요.")
    rated: Rating = "up" if rating == "up" else "down"
    await rate_turn(
        services, caller, turn_id_of(id), rated, reason=reason, comment=said.get("comment", "")[:2000]
    )
    return True


def faqs_url(request: Request, services: Services) -> str:
    """Where this caller can read a FAQ, without its id."""
    base = services.settings.server.public_url or str(request.base_url)
    return f"{base.rstrip('/')}/faqs/"


async def collect(request: Request, services: Services, reply: Reply) -> None:
    """Follows the turn to its end; a caller who leaves ends it. Raises `TurnFault` where it failed."""

    async def follow() -> None:
        async with aclosing(services.follow(reply.turn_id, key=reply.key)) as events:
            async for _, event in events:
                reply.add(event)

    async def leave() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    tasks = {asyncio.ensure_future(follow()), left := asyncio.ensure_future(leave())}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done - {left}:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.gather(*tasks, return_exceptions=True)
            await end(services, reply)
    if isinstance(reply.final, TurnFailed):
        raise TurnFault(reply.final)


async def end(services: Services, reply: Reply) -> None:
    """The caller reads no more: a turn that still runs is stopped, as nobody can follow it again."""
    if reply.final is None:
        await services.runner.stop(reply.turn_id)
