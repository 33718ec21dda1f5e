"""API keys: made, listed, revoked, and recognised; only their digests are stored.

A key is `ssk_<id>_<secret>` with 256 random bits in the secret. Its SHA-256 is enough at rest:
slow hashes protect passwords that people choose, and nobody can try 2^256 secrets; a slow one
would cost every request of the gateway what a whole request costs now. The id is no secret: it
names the key in lists, owns sessions and stands in logs.

Knows nothing of requests, nor of what a key is used for.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, cast, get_args

from cachetools import LRUCache

from api.errors import InvalidRequest, NotFound, StateUnavailable
from api.state.connection import State

Scope = Literal["chat", "raw", "history", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
PREFIX = "ssk_"
_ID = "k_"
_ADMIN_ID = "k_admin"
_FRESH_S = 1.0
_OUTAGE_S = 60.0
_REMEMBERED = 1024


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of a key; the secret itself is not.

    Attributes:
        id: names the key, e.g. `k_3f9a…`; owns its sessions.
        name: what the operator calls it.
        scopes: what it may do.
        per_minute: requests a minute (0: no limit).
        concurrent_turns: turns, and raw requests, at the same time (0: no limit).
        created_at: when it was made.
    """

    id: str
    name: str
    scopes: frozenset[Scope]
    per_minute: int = 0
    concurrent_turns: int = 0
    created_at: datetime = datetime(2025, 1, 1, tzinfo=UTC)


def parse_scopes(text: str) -> frozenset[Scope]:
    """`chat,raw` as scopes. Raises `InvalidRequest` for an unknown or missing one."""
    names = [part.strip() for part in text.split(",") if part.strip()]
    unknown = [name for name in names if name not in SCOPES]
    if unknown or not names:
        raise InvalidRequest(
            f"알 수 없는 권한 '{', '.join(unknown)}'입니다. 사용할 수 있는 값: {', '.join(SCOPES)}",
            english=f"unknown scope {', '.join(unknown) or '(none)'}; valid: {', '.join(SCOPES)}",
        )
    return frozenset(cast("list[Scope]", names))


class Keys:
    """The keys in the state store.

    A key that was recognised is trusted for `_FRESH_S` seconds without asking again, which is how
    long a revoked one may live on; while the store is away, for `_OUTAGE_S` seconds.

    Args:
        state: the store.
        admin_secret: a key with every scope that the operator's settings give; never stored.
    """

    def __init__(self, state: State, *, admin_secret: str = "") -> None:
        self._state = state
        self._admin = Key(_ADMIN_ID, "settings", frozenset(SCOPES)) if admin_secret else None
        self._admin_digest = _digest(admin_secret)
        self._known: LRUCache[str, tuple[float, Key | None]] = LRUCache(_REMEMBERED)
        self._looked: LRUCache[str, tuple[float, bool]] = LRUCache(_REMEMBERED)

    async def create(
        self, name: str, scopes: frozenset[Scope], *, per_minute: int = 0, concurrent_turns: int = 0
    ) -> tuple[Key, str]:
        """A new key and its secret text, which is shown once and cannot be read again."""
        key = Key(f"k_{secrets.token_hex(6)}", name, scopes, per_minute, concurrent_turns, datetime.now(UTC))
        text = f"{PREFIX}{key.id.removeprefix('k_')}_{secrets.token_urlsafe(32)}"
        record = {
            "digest": _digest(text),
            "name": name,
            "scopes": json.dumps(sorted(scopes)),
            "per_minute": per_minute,
            "concurrent_turns": concurrent_turns,
            "created_at": key.created_at.isoformat(),
        }
        redis = self._state.redis
        await self._state.call(redis.hset(self._key(key.id), mapping=cast("dict[Any, Any]", record)))
        await self._state.call(cast("Any", redis.sadd(self._all, key.id)))
        return key, text

    async def list(self) -> list[Key]:
        """Every key, oldest first."""
        ids: Any = await self._state.call(cast("Any", self._state.redis.smembers(self._all)))
        found = [await self._read(key_id) for key_id in ids]
        return sorted((key for key, _ in filter(None, found)), key=lambda key: key.created_at)

    async def revoke(self, key_id: str) -> Key:
        """Removes a key; within two seconds every process refuses it, and ends its open streams.

        Raises `NotFound`.
        """
        found = await self._read(key_id)
        if found is None:
            raise NotFound(
                f"API 키 '{key_id[:40]}'을(를) 찾을 수 없습니다.",
                english=f"no key {key_id!r}; see `smartstore keys list`",
            )
        await self._state.call(self._state.redis.delete(self._key(key_id)))
        await self._state.call(cast("Any", self._state.redis.srem(self._all, key_id)))
        self._known.clear()
        return found[0]

    async def exist(self) -> bool:
        """True where any key would be accepted."""
        if self._admin is not None:
            return True
        return bool(await self._state.call(cast("Any", self._state.redis.scard(self._all))))

    async def recognise(self, text: str) -> Key | None:
        """The key whose secret `text` is, None for an unknown one.

        Raises:
            StateUnavailable: the store is away, and this key was not seen lately.
        """
        digest = _digest(text)
        seen = self._known.get(digest)
        if seen is not None and time.monotonic() - seen[0] < _FRESH_S:
            return seen[1]
        if self._admin is not None and hmac.compare_digest(digest, self._admin_digest):
            return self._admin
        key_id, _, secret = text.removeprefix(PREFIX).partition("_")
        if not text.startswith(PREFIX) or not secret or not key_id.isalnum() or len(text) > 128:
            return None
        if seen is not None:
            # One look for all who come while it is on its way.
            self._remember(digest, seen[1])
        try:
            found = await self._read(f"k_{key_id}")
        except StateUnavailable:
            if seen is not None:
                self._known[digest] = seen
            if seen is not None and seen[1] is not None and time.monotonic() - seen[0] < _OUTAGE_S:
                return seen[1]
            raise
        key = found[0] if found and hmac.compare_digest(found[1], digest) else None
        self._remember(digest, key)
        return key

    async def valid(self, key: Key) -> bool:
        """False once the key is revoked; looked up once a second, and true while the store is away.

        The settings' key, and the limits of a visitor who has none, are not in the store to be revoked.
        """
        if key.id == _ADMIN_ID or not key.id.startswith(_ID):
            return True
        looked = self._looked.get(key.id)
        if looked is None or time.monotonic() - looked[0] >= _FRESH_S:
            try:
                looked = time.monotonic(), await self._read(key.id) is not None
            except StateUnavailable:
                return True
            self._looked[key.id] = looked
        return looked[1]

    def _remember(self, digest: str, key: Key | None) -> None:
        self._known[digest] = time.monotonic(), key

    async def _read(self, key_id: str) -> tuple[Key, str] | None:
        record: Any = await self._state.call(self._state.redis.hgetall(self._key(key_id)))
        if not record:
            return None
        key = Key(
            id=key_id,
            name=record["name"],
            scopes=frozenset(json.loads(record["scopes"])),
            per_minute=int(record["per_minute"]),
            concurrent_turns=int(record["concurrent_turns"]),
            created_at=datetime.fromisoformat(record["created_at"]),
        )
        return key, record["digest"]

    def _key(self, key_id: str) -> str:
        return self._state.key("key", key_id)

    @property
    def _all(self) -> str:
        return self._state.key("keys", "all")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
