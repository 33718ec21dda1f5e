"""What completions and responses share: who answers, and following the turn for a caller who may leave."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import anyio
from fastapi import Request

from api.errors import ApiError
from api.events import TurnFailed
from api.providers.openai.provider import OpenAICompatible
from api.services import Services
from api.web.openai.models import faq_provider
from api.web.openai.reply import Reply, status_of
from api.web.openai.requests import Extra


class TurnFault(ApiError):
    """The turn ended without an answer."""

    def __init__(self, event: TurnFailed) -> None:
        super().__init__(event.message)
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
