"""Conversations: who owns them, which provider they chose, and their turns.

A session is three keys with one hash tag and one time-to-live, renewed by every turn:
a hash (owner, provider, creation), the list of turn ids in the order they were asked,
and a hash of turn records. Knows nothing of events in flight or of who runs a turn.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from api.conversation.memory import Memory
from api.errors import NotFound
from api.state.connection import State
from api.state.script_batches import Argument
from api.turns.saved import SavedTurn, SessionInfo, check_session_id, new_session_id, now

# Saving twice under one turn id replaces the record unless it already has its end; a
# session deleted in the meantime stays deleted. Returns 1 saved, 0 already ended, -1 gone.
_SAVE = """
if redis.call('EXISTS', KEYS[1]) == 0 then return -1 end
local ended = redis.call('HGET', KEYS[4], ARGV[1])
if ended then return 0 end
if redis.call('HSET', KEYS[3], ARGV[1], ARGV[2]) == 1 then redis.call('RPUSH', KEYS[2], ARGV[1]) end
if ARGV[3] == '1' then redis.call('HSET', KEYS[4], ARGV[1], '1') end
while redis.call('LLEN', KEYS[2]) > tonumber(ARGV[4]) do
  local oldest = redis.call('LPOP', KEYS[2])
  redis.call('HDEL', KEYS[3], oldest)
  redis.call('HDEL', KEYS[4], oldest)
end
for i = 1, 4 do redis.call('EXPIRE', KEYS[i], ARGV[5]) end
return 1
"""


# The records of the last ARGV[1] turns, oldest first.
_TURNS = """
local ids = redis.call('LRANGE', KEYS[2], -tonumber(ARGV[1]), -1)
if #ids == 0 then return {} end
return redis.call('HMGET', KEYS[3], unpack(ids))
"""


class Sessions:
    """Sessions in the state store."""

    def __init__(self, state: State, *, ttl_s: int = 7 * 86400, max_turns: int = 200) -> None:
        """A session lives `ttl_s` seconds after its last turn and keeps `max_turns` turns."""
        self._state, self._ttl_s, self._max_turns = state, ttl_s, max_turns
        self._save, self._turns = state.script(_SAVE), state.script(_TURNS)

    async def create(self, *, owner: str, provider: str = "") -> SessionInfo:
        """A new session that belongs to the key id `owner`."""
        info = SessionInfo(session_id=new_session_id(), owner=owner, provider=provider, created_at=now())
        key = self._keys(info.session_id)[0]
        values: dict[Any, Any] = {
            "owner": owner,
            "provider": provider,
            "created_at": info.created_at.isoformat(),
        }
        async with self._state.redis.pipeline(transaction=True) as pipe:
            pipe.hset(key, mapping=values)
            pipe.expire(key, self._ttl_s)
            await self._state.call(pipe.execute())
        return info

    async def get(self, session_id: str, *, owner: str) -> SessionInfo:
        """The session. Raises `InvalidRequest` (malformed id) or `NotFound` (unknown, foreign)."""
        meta_key = self._keys(check_session_id(session_id))[0]
        meta: Any = await self._state.call(self._state.redis.hgetall(meta_key))
        if not meta or meta["owner"] != owner:
            raise NotFound(f"대화 '{session_id}'을(를) 찾을 수 없습니다. 새 대화를 시작해 주세요.")
        return SessionInfo(
            session_id=session_id,
            owner=owner,
            provider=meta["provider"],
            created_at=datetime.fromisoformat(meta["created_at"]),
        )

    async def choose_provider(self, session_id: str, provider: str, *, owner: str) -> None:
        """Remembers the provider of a session."""
        await self.get(session_id, owner=owner)
        await self._state.call(self._state.redis.hset(self._keys(session_id)[0], "provider", provider))

    async def delete(self, session_id: str, *, owner: str) -> None:
        """Removes the session and its turns."""
        await self.get(session_id, owner=owner)
        await self._state.call(self._state.redis.delete(*self._keys(session_id)))

    async def save_turn(self, session_id: str, turn: SavedTurn) -> bool:
        """Keeps the turn, once: an ended turn is never changed again.

        Returns False when it had already ended or the session is gone.
        """
        ended = "1" if turn.ended else "0"
        arguments: list[Argument] = [
            turn.turn_id,
            turn.model_dump_json(),
            ended,
            self._max_turns,
            self._ttl_s,
        ]
        saved = await self._save(keys=list(self._keys(session_id)), args=arguments)
        return bool(saved == 1)

    async def drop_turn(self, session_id: str, turn_id: str) -> None:
        """Removes one turn, as if it had not been asked."""
        _, order, records, ended = self._keys(session_id)
        async with self._state.redis.pipeline(transaction=True) as pipe:
            pipe.lrem(order, 0, turn_id)
            pipe.hdel(records, turn_id)
            pipe.hdel(ended, turn_id)
            await self._state.call(pipe.execute())

    async def saved_turn(self, session_id: str, turn_id: str) -> SavedTurn | None:
        """One turn of the session, if it is there."""
        record = await self._state.call(self._state.redis.hget(self._keys(session_id)[2], turn_id))
        return SavedTurn.model_validate_json(record) if record else None

    async def turns(self, session_id: str, *, limit: int | None = None) -> list[SavedTurn]:
        """The last `limit` turns (all by default) in the order they were asked."""
        keys = list(self._keys(session_id))
        texts = await self._turns(keys=keys, args=[limit or self._max_turns])
        return [SavedTurn.model_validate_json(text) for text in texts if text]

    def _keys(self, session_id: str) -> tuple[str, str, str, str]:
        key = self._state.key
        return (
            key("session", session_id),
            key("session", session_id, "order"),
            key("session", session_id, "turns"),
            key("session", session_id, "ended"),
        )


def memory_of(turns: Iterable[SavedTurn], limit: int) -> Memory:
    """The last `limit` answered ones of `turns`."""
    remembered = (turn.remembered() for turn in turns)
    answered = [turn for turn in remembered if turn is not None]
    return Memory(tuple(answered[-limit:]) if limit > 0 else ())
