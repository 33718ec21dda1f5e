"""Raw models: a chat completion or response goes to its provider and comes back byte by byte.

The request is authorised, validated and counted; only the value of its `model` is exchanged.
What comes back is never decoded: the bytes received are the bytes sent. An ASGI layer in front of
the routes, since a route's machinery costs more than all of this. Everything but raw requests
passes through, with its body given again. A response of a provider that knows only chat completions
is the one thing that is decoded and written anew (`responses/to_chat`, `responses/from_chat`).

Knows no retrieval and no conversation: personal data is not masked here, as nothing is changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.providers.openai.provider import OpenAICompatible
from api.web.openai.models import FAQ
from api.web.openai.raw_body import Malformed, read_body
from api.web.openai.relay import RESPONSES, UPSTREAM, Relay
from api.web.openai.responses.translating import TranslatingRelay

if TYPE_CHECKING:
    from api.services import Services


@dataclass(frozen=True, slots=True)
class _Route:
    """What the request log calls these requests."""

    path: str


_ROUTES = {path: _Route(path) for path in UPSTREAM}


class Gateway:
    """ASGI middleware that answers raw requests itself."""

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        """`max_bytes`: of a raw request's body."""
        self._app, self._max = app, max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a raw request; passes anything else on."""
        if scope["type"] != "http" or scope["path"] not in UPSTREAM or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        services: Services = scope["state"]["services"]
        messages = await _read(receive, self._max)
        try:
            raw = read_body(b"".join(message.get("body", b"") for message in messages))
            provider = _provider(raw.model, services)
        except Malformed:
            provider = None
        if provider is None:
            await self._app(scope, _again(messages, receive), send)
            return
        path = scope["path"]
        scope["route"] = _ROUTES[path]
        translated = path == RESPONSES and not provider.endpoint.responses_api
        relay = TranslatingRelay if translated else Relay
        await relay(services, provider, raw, send, path).run(scope, receive)


def _provider(model: str, services: Services) -> OpenAICompatible | None:
    """The endpoint of a raw model's name; None for any other name."""
    name, slash, rest = model.partition("/")
    providers = services.providers
    if name == FAQ or not slash or not rest or name not in providers.names:
        return None
    provider = providers.get(name)
    return provider if isinstance(provider, OpenAICompatible) else None


async def _read(receive: Receive, most: int) -> list[Message]:
    """The body's messages, up to `most` bytes: what is longer is refused by who reads the rest."""
    messages, size = [], 0
    while True:
        message = await receive()
        messages.append(message)
        size += len(message.get("body", b""))
        if message["type"] != "http.request" or not message.get("more_body") or size > most:
            return messages


def _again(messages: Sequence[Message], receive: Receive) -> Receive:
    """A `receive` that gives the messages already read once more."""
    left = list(messages)

    async def again() -> Message:
        return left.pop(0) if left else await receive()

    return again
