"""When the state store is away, say so at once instead of letting every request wait.

Counts consecutive failed or slow calls. Knows no Redis and no HTTP.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from api.state.away import unavailable


class Breaker:
    """Opens after `failures` bad calls in a row, for `away_s` seconds.

    While open every call fails fast; afterwards one call is let through as a probe
    and decides. A call slower than `slow_s` seconds counts as a bad one: a store
    that answers too late is as good as away.
    """

    def __init__(
        self,
        *,
        failures: int = 5,
        away_s: float = 2.0,
        slow_s: float = 1.5,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit, self._away_s, self._slow_s = failures, away_s, slow_s
        self._clock = clock
        self._bad = 0
        self._closed_again = 0.0

    @property
    def is_open(self) -> bool:
        """True while calls fail fast."""
        return self._bad >= self._limit and self._clock() < self._closed_again

    def enter(self) -> float:
        """Registers a call and returns its start; raises `StateUnavailable` while open."""
        now = self._clock()
        if self._bad >= self._limit:
            if now < self._closed_again:
                raise unavailable(max(0.1, self._closed_again - now))
            # The caller becomes the probe: the others keep failing fast until it is back.
            self._closed_again = now + self._away_s
        return now

    def succeeded(self, started: float) -> None:
        """The call that began at `started` came back."""
        if self._clock() - started > self._slow_s:
            self.failed()
        else:
            self._bad = 0

    def failed(self) -> None:
        """A call failed or was too slow."""
        self._bad += 1
        if self._bad >= self._limit:
            self._closed_again = self._clock() + self._away_s
