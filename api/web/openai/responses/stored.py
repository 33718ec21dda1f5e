"""Responses that were asked to be stored: where their turn is, and what they repeat of their request.

The answer itself is the saved turn's; this only finds it again. Knows the store, no HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from api.errors import NotFound
from api.state.connection import State
from api.web.openai.responses.answer import response_id


class StoredResponse(BaseModel):
    """What is kept of a response besides its turn."""

    model_config = ConfigDict(frozen=True)

    turn_id: str
    session_id: str
    owner: str
    model: str
    created: int
    question: str
    faqs: str
    follow_ups: bool
    echo: Mapping[str, Any]
    metadata: Mapping[str, str]


class StoredResponses:
    """Stored responses in the state store, for as long as a session lives without turns."""

    def __init__(self, state: State, *, ttl_s: int) -> None:
        self._state, self._ttl_s = state, ttl_s

    async def put(self, stored: StoredResponse) -> None:
        """Keeps a response."""
        key = self._key(response_id(stored.turn_id))
        await self._state.call(self._state.redis.set(key, stored.model_dump_json(), ex=self._ttl_s))

    async def get(self, id_: str, *, owner: str) -> StoredResponse:
        """A response of `owner`. Raises `NotFound` (also: foreign)."""
        found: Any = await self._state.call(self._state.redis.get(self._key(id_)))
        stored = StoredResponse.model_validate_json(found) if found else None
        if stored is None or stored.owner != owner:
            raise NotFound(f"응답 '{id_[:60]}'을(를) 찾을 수 없습니다. 보관 기간이 지났을 수 있습니다.")
        return stored

    async def delete(self, id_: str) -> None:
        """Forgets a response."""
        await self._state.call(self._state.redis.delete(self._key(id_)))

    def _key(self, id_: str) -> str:
        return self._state.key("response", id_[:80])
