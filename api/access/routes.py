"""API keys over HTTP, for the console: made, listed, revoked by an operator."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from api.access.keys import Key, Scope
from api.errors import InvalidRequest
from api.text import RequestBody
from api.web.routes.dependencies import AdminDep, ServicesDep

router = APIRouter(prefix="/keys", tags=["keys"])


class KeyView(BaseModel):
    """A key without its secret."""

    id: str
    name: str
    scopes: list[Scope]
    per_minute: int = Field(description="requests a minute; 0: no limit")
    concurrent_turns: int = Field(description="turns at the same time; 0: no limit")
    created_at: str

    @classmethod
    def of(cls, key: Key) -> KeyView:
        """The view of a key."""
        return cls(
            id=key.id, name=key.name, scopes=sorted(key.scopes), per_minute=key.per_minute,
            concurrent_turns=key.concurrent_turns, created_at=key.created_at.isoformat(),
        )  # fmt: skip


class NewKey(RequestBody):
    """A key to be made."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=80, description="the application or person that uses it")
    scopes: list[Scope] = Field(["chat"], min_length=1, max_length=4)
    per_minute: int = Field(0, strict=True, ge=0, le=1_000_000)
    concurrent_turns: int = Field(0, strict=True, ge=0, le=10_000)


class MadeKey(KeyView):
    """A new key; `secret` can be read this once."""

    secret: str


@router.get("")
async def list_keys(services: ServicesDep, _caller: AdminDep) -> list[KeyView]:
    """Every key, oldest first; never a secret. The settings' own is not in the list."""
    return [KeyView.of(key) for key in await services.access.keys.list()]


@router.post("", status_code=201)
async def make_key(body: NewKey, services: ServicesDep, _caller: AdminDep) -> MadeKey:
    """A new key."""
    if not body.name.strip():
        raise InvalidRequest("name: 이름에 글자가 있어야 합니다.")
    key, secret = await services.access.keys.create(
        body.name.strip(),
        frozenset(body.scopes),
        per_minute=body.per_minute,
        concurrent_turns=body.concurrent_turns,
    )
    return MadeKey(**KeyView.of(key).model_dump(), secret=secret)


@router.delete("/{key_id}", status_code=204)
async def revoke_key(
    key_id: Annotated[str, Path(max_length=64)], services: ServicesDep, _caller: AdminDep
) -> Response:
    """Revokes a key; within two seconds every process refuses it."""
    await services.access.keys.revoke(key_id)
    return Response(status_code=204)
