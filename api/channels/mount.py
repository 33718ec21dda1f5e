"""Messengers' webhooks, each at a path that only the platform knows.

`/channels/<name>/<secret>`: an unknown secret, or an address outside the platform's networks, finds
nothing there. Who asks is the messenger's user, so no API key is needed.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from api.channels.kakao import Kakao
from api.channels.messenger import Messenger, comes_from
from api.channels.settings import MessengerSettings
from api.channels.talktalk import TalkTalk
from api.errors import InvalidRequest, NotFound
from api.services import Services
from api.text import check_texts

PREFIX = "/channels/"
Receive = Callable[[Any], Awaitable[dict[str, Any] | None]]


@asynccontextmanager
async def mount_messengers(app: FastAPI, services: Services) -> AsyncIterator[None]:
    """Serves the messengers that the settings give a secret path, while the context lasts."""
    channels = services.settings.channels
    messengers: list[Messenger] = []
    async with httpx.AsyncClient() as http:
        if channels.talktalk.secret.get_secret_value():
            messenger = Messenger(services, "talktalk", per_minute=channels.talktalk.per_minute)
            messengers.append(messenger)
            _add(app, "talktalk", channels.talktalk, TalkTalk(messenger, channels.talktalk, http).receive)
        if channels.kakao.secret.get_secret_value():
            messenger = Messenger(services, "kakao", per_minute=channels.kakao.per_minute)
            messengers.append(messenger)
            _add(app, "kakao", channels.kakao, Kakao(messenger, channels.kakao, http).receive)
        try:
            yield
        finally:
            for messenger in messengers:
                await messenger.drain(services.settings.turns.drain_s)


def _add(app: FastAPI, name: str, settings: MessengerSettings, receive: Receive) -> None:
    """Adds one webhook."""
    secret = settings.secret.get_secret_value().encode()

    async def webhook(request: Request) -> Response:
        given = str(request.path_params["secret"]).encode()
        if not hmac.compare_digest(given, secret) or not comes_from(request.scope, settings.networks):
            raise NotFound("찾을 수 없습니다.")
        try:
            body = json.loads(await request.body())
        except (ValueError, RecursionError) as exc:
            raise InvalidRequest("본문: 올바른 JSON이 아닙니다.") from exc
        if not isinstance(body, dict):
            raise InvalidRequest("본문: JSON 객체여야 합니다.")
        answer = await receive(check_texts(body))
        return Response(status_code=200) if answer is None else JSONResponse(answer)

    app.add_api_route(f"{PREFIX}{name}/{{secret}}", webhook, methods=["POST"], include_in_schema=False)
    # The page's files are mounted last and must stay last.
    app.router.routes.insert(0, app.router.routes.pop())
