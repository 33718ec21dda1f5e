"""How a terminal asks: over HTTP where a server runs, else with services of its own.

Both give the same events. Knows no terminal and no formatting.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import httpx

from api.access.auth import Caller
from api.errors import ApiError, CommandError
from api.events import TurnEvent
from api.history.rating import rate_turn
from api.history.store import Rating
from api.services import Services, open_services
from api.settings import Settings
from api.turns.start import Question, ask
from api.web import sse

_PROBE_S = 1.0


@dataclass(frozen=True, slots=True)
class Contact:
    """Where a person answers what the FAQ cannot; empty where the operator names nobody."""

    text: str = ""
    url: str = ""
    always: bool = False

    @classmethod
    def of(cls, page: Mapping[str, Any]) -> Contact:
        """Out of what the page shows besides answers."""
        text, url = str(page.get("contact_text", "")), str(page.get("contact_url", ""))
        return cls(text, url, bool(page.get("contact_always")))


class ChatClient(Protocol):
    """Asks questions of one stack."""

    async def providers(self) -> list[str]:
        """Names of the providers, the default first."""
        ...

    def ask(self, question: Question) -> AsyncGenerator[TurnEvent]:
        """Starts a turn and follows it to its end. Raises `ApiError`."""
        ...

    async def stop(self, turn_id: str) -> None:
        """Stops a turn."""
        ...

    async def rate(self, turn_id: str, rating: Rating, comment: str) -> None:
        """Says whether an answer helped. Raises `ApiError`."""
        ...

    async def contact(self) -> Contact:
        """Where a person answers what the FAQ cannot."""
        ...


class HttpChat:
    """Asks a running server."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def providers(self) -> list[str]:
        """Names of the providers, the default first."""
        response = await self._client.get("/providers")
        await _check(response)
        body = response.json()
        names = [p["name"] for p in body["providers"]]
        return sorted(names, key=lambda name: name != body["default"])

    async def ask(self, question: Question) -> AsyncGenerator[TurnEvent]:
        """Starts a turn and follows it to its end."""
        body = {"question": question.text, "session_id": question.session_id, "provider": question.provider}
        headers = {"Idempotency-Key": question.idempotency_key} if question.idempotency_key else {}
        async with self._client.stream("POST", "/chat", json=body, headers=headers) as response:
            await _check(response)
            async for _, event in sse.decode(response.aiter_bytes()):
                yield event

    async def stop(self, turn_id: str) -> None:
        """Stops a turn."""
        await self._client.delete(f"/chat/turns/{turn_id}")

    async def rate(self, turn_id: str, rating: Rating, comment: str) -> None:
        """Says whether an answer helped."""
        body = {"rating": rating, "comment": comment}
        await _check(await self._client.put(f"/chat/turns/{turn_id}/feedback", json=body))

    async def contact(self) -> Contact:
        """Where a person answers what the FAQ cannot; nowhere for a server that does not tell."""
        response = await self._client.get("/page.json")
        return Contact.of(response.json()) if response.is_success else Contact()


class LocalChat:
    """Asks services opened in this process."""

    def __init__(self, services: Services) -> None:
        self._services, self._caller = services, Caller("local")

    async def providers(self) -> list[str]:
        """Names of the providers, the default first."""
        providers = self._services.providers
        return sorted(providers.names, key=lambda name: name != providers.default)

    async def ask(self, question: Question) -> AsyncGenerator[TurnEvent]:
        """Starts a turn and follows it to its end."""
        begun = await ask(self._services, self._caller, question)
        async with aclosing(self._services.follow(begun.turn_id)) as events:
            async for _, event in events:
                yield event

    async def stop(self, turn_id: str) -> None:
        """Stops a turn."""
        await self._services.runner.stop(turn_id)

    async def rate(self, turn_id: str, rating: Rating, comment: str) -> None:
        """Says whether an answer helped."""
        await rate_turn(self._services, self._caller, turn_id, rating, comment=comment)

    async def contact(self) -> Contact:
        """Where a person answers what the FAQ cannot."""
        return Contact.of(self._services.settings.page.model_dump())


@asynccontextmanager
async def open_chat(settings: Settings, *, url: str = "", key: str = "") -> AsyncIterator[ChatClient]:
    """A client of the server at `url`, of the one the settings describe if it runs, or of none.

    Raises:
        CommandError: nothing answers at the `url` given.
    """
    address = url or f"http://{settings.server.host}:{settings.server.port}"
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    timeout = httpx.Timeout(_PROBE_S, read=settings.turns.timeout_s + 10)
    async with httpx.AsyncClient(base_url=address, headers=headers, timeout=timeout) as client:
        if await _answers(client):
            yield HttpChat(client)
            return
    if url:
        raise CommandError(f"nothing answers at {url}; start it with `smartstore serve`")
    async with open_services(settings) as services:
        yield LocalChat(services)


async def _answers(client: httpx.AsyncClient) -> bool:
    try:
        response = await client.get("/health", timeout=_PROBE_S)
        return bool(response.json() == {"status": "ok"})
    except (httpx.HTTPError, ValueError):
        return False


async def _check(response: httpx.Response) -> None:
    if response.is_error:
        await response.aread()
        try:
            detail = response.json()["detail"]
        except (ValueError, KeyError):
            detail = f"HTTP {response.status_code}"
        raise ApiError(detail, english=f"{response.url} answered HTTP {response.status_code}")
