"""A circuit breaker per provider, shared by every process through the state store.

    closed --failures in a row--> open --time--> half open: one probe --success--> closed
                                   ^---------------- failure, for twice as long ----'

Knows names of providers and what became of their answers; not what a provider is. Where the
state store is away, every call is let through.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import structlog

from api.errors import ProviderError, StateUnavailable
from api.state.clock import NOW
from api.state.connection import State

log = structlog.get_logger(__name__)
Position = Literal["closed", "open", "half_open"]
_POSITIONS: tuple[Position, ...] = ("closed", "half_open", "open")
_FRESH_S = 1.0
_PROBE_S = 30.0
_FORGET_S = 60.0
_LONGEST_S = 120.0


# ARGV: limit, probe ms (0: only look). Returns {position, failures, ms to wait}.
_ENTER = (
    NOW
    + """
local rec = redis.call('HMGET', KEYS[1], 'failures', 'open_until', 'probe_until')
local failures, held = tonumber(rec[1] or 0), math.max(tonumber(rec[2] or 0), tonumber(rec[3] or 0))
if failures < tonumber(ARGV[1]) then return {0, failures, 0} end
if ARGV[2] == '0' then
  if now < tonumber(rec[2] or 0) then return {2, failures, held - now} end
  return {1, failures, 0}
end
if now < held then return {2, failures, held - now} end
redis.call('HSET', KEYS[1], 'probe_until', now + ARGV[2])
return {1, failures, 0}
"""
)

# ARGV: limit, open ms, longest ms, forget ms, failures. Returns ms it is open for (0: still closed).
_FAILED = (
    NOW
    + """
local until_, probing = unpack(redis.call('HMGET', KEYS[1], 'open_until', 'probe_until'))
if until_ and now < tonumber(until_) then return 0 end
local failures = redis.call('HINCRBY', KEYS[1], 'failures', ARGV[5])
local open = 0
if failures >= tonumber(ARGV[1]) then
  local times = redis.call('HINCRBY', KEYS[1], 'openings', 1)
  open = math.min(tonumber(ARGV[2]) * 2 ^ (times - 1), tonumber(ARGV[3]))
  redis.call('HSET', KEYS[1], 'open_until', now + open, 'probe_until', 0)
end
redis.call('PEXPIRE', KEYS[1], math.floor(open + ARGV[4]))
return math.floor(open)
"""
)


class BreakerOpen(ProviderError):
    """The provider failed too often lately and is left alone for a while."""

    code, status = "provider_unavailable", 503
    english = "failed several times and is left alone for a while"


@dataclass(frozen=True, slots=True)
class Reading:
    """Where a provider's breaker stands; `wait_s` until it lets a probe through."""

    position: Position = "closed"
    failures: int = 0
    wait_s: float = 0.0


class CircuitBreaker:
    """The breakers of all providers.

    While nothing fails it costs one look a second and process, not one a call.

    Args:
        state: the store.
        failures: how many in a row open it.
        open_s: for how many seconds at first; doubled with each failed probe.
        longest_s: the most that becomes of it.
    """

    def __init__(
        self, state: State, *, failures: int = 5, open_s: float = 10.0, longest_s: float = _LONGEST_S
    ) -> None:
        self._state, self._limit, self._open_s, self._longest_s = state, failures, open_s, longest_s
        self._enter = state.redis.register_script(_ENTER)
        self._fail = state.redis.register_script(_FAILED)
        self._failures: dict[str, int] = {}
        self._looked: dict[str, float] = {}

    async def enter(self, name: str) -> Reading:
        """Asks to use a provider; `half_open` for who is its probe. Raises `BreakerOpen`.

        Every entry is followed by one of `succeeded`, `failed` and `left`.
        """
        if time.monotonic() - self._looked.get(name, -_FRESH_S) < _FRESH_S and not self._failures.get(name):
            return Reading()
        if not self._failures.get(name):
            # One look for all who come while it is on its way.
            self._looked[name] = time.monotonic()
        reading = await self._ask(name, probe_s=_PROBE_S)
        if reading.position == "open":
            message = f"'{name}'이(가) 여러 번 실패해 잠시 쉬고 있습니다."
            raise BreakerOpen(name, message, retry_after=max(reading.wait_s, 0.1))
        if reading.position == "half_open":
            log.info("breaker_probe", provider=name)
        return reading

    async def succeeded(self, name: str) -> None:
        """The provider answered: whatever failed before is forgiven."""
        if self._failures.get(name):
            self._failures[name] = 0
            await self._quietly(self._state.redis.delete(self._key(name)))

    async def failed(self, name: str, *, at_once: bool = False) -> float:
        """The provider failed; `at_once` opens its breaker without waiting for more failures.

        Returns the seconds for which that opened it, 0 where it did not.
        """
        failures = self._limit if at_once else 1
        self._failures[name] = self._failures.get(name, 0) + failures
        times = [int(s * 1000) for s in (self._open_s, self._longest_s, _FORGET_S)]
        open_ms = await self._quietly(
            self._fail(keys=[self._key(name)], args=[self._limit, *times, failures])
        )
        if open_ms:
            log.warning("breaker_opened", provider=name, open_s=open_ms / 1000)
        return (open_ms or 0) / 1000

    async def left(self, name: str) -> None:
        """Nothing is known of how the provider would have done: another may probe it."""
        if self._failures.get(name, 0) >= self._limit:
            await self._quietly(self._state.redis.hdel(self._key(name), "probe_until"))

    async def readings(self, names: Iterable[str]) -> dict[str, Reading]:
        """Where each breaker stands, without using the provider."""
        return {name: await self._ask(name, probe_s=0) for name in names}

    async def _ask(self, name: str, *, probe_s: float) -> Reading:
        found = await self._quietly(
            self._enter(keys=[self._key(name)], args=[self._limit, int(probe_s * 1000)])
        )
        if found is None:
            return Reading()
        position, failures, wait_ms = found
        self._failures[name], self._looked[name] = failures, time.monotonic()
        return Reading(_POSITIONS[position], failures, wait_ms / 1000)

    async def _quietly(self, command: Any) -> Any:
        try:
            return await self._state.call(command)
        except StateUnavailable:
            return None

    def _key(self, name: str) -> str:
        return self._state.key("provider", name, "breaker")
