"""Whether each provider answers right now, asked at most every few seconds.

Knows probes by name; not what they do.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from api.errors import ProviderError

Probe = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Health:
    """What a probe found; `detail` says what is wrong, in Korean."""

    healthy: bool = True
    detail: str = ""


class HealthProbes:
    """Probes providers and remembers what was found.

    Args:
        probes: raise `ProviderError` where the provider cannot answer; a name without one is healthy.
        fresh_s: for how many seconds a finding counts. An older one is still told, while
            a new one is on its way.
    """

    def __init__(self, probes: Mapping[str, Probe], *, fresh_s: float = 10.0) -> None:
        self._probes, self._fresh_s = dict(probes), fresh_s
        self._found: dict[str, tuple[float, Health]] = {}
        self._running: dict[str, asyncio.Task[Health]] = {}

    async def read(self) -> dict[str, Health]:
        """The health of every provider with a probe; waits only for those never probed before."""
        for name in self._probes:
            at, _ = self._found.get(name, (0.0, Health()))
            if name not in self._running and (not at or time.monotonic() - at > self._fresh_s):
                self._running[name] = asyncio.create_task(self._probe(name), name=f"probe-{name}")
        waiting = [task for name, task in self._running.items() if name not in self._found]
        await asyncio.gather(*waiting)
        return {name: health for name, (_, health) in self._found.items()}

    async def aclose(self) -> None:
        """Ends the probes that are on their way."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _probe(self, name: str) -> Health:
        health = Health()
        try:
            await self._probes[name]()
        except ProviderError as exc:
            health = Health(False, exc.message)
        finally:
            self._running.pop(name, None)
        self._found[name] = time.monotonic(), health
        return health
