"""How many answers of each LLM visitors without a key may have a day, all of them together.

Knows provider names and numbers; shared by all processes.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from api.state.connection import State

# The day of those who ask: Korea has no summer time.
_DAY_BEGINS = timedelta(hours=9)
_KEPT_S = 2 * 86_400


class DailyBudget:
    """Counts answers by provider and day.

    Args:
        state: where they are counted.
        answers: of each provider a day; 0 for none.
    """

    def __init__(self, state: State, *, answers: int) -> None:
        self._state, self._answers = state, answers

    async def spend(self, provider: str) -> bool:
        """Counts one answer; False where the day's are used up. Raises `StateUnavailable`."""
        day = (datetime.now(UTC) + _DAY_BEGINS).date().isoformat()
        key = self._state.key("budget", f"{provider}:{day}")
        async with self._state.redis.pipeline(transaction=True) as pipe:
            pipe.incr(key)
            pipe.expire(key, _KEPT_S)
            spent: Any = await self._state.call(pipe.execute())
        return int(spent[0]) <= self._answers
