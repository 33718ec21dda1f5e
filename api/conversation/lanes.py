"""Where questions are read: long ones one after the other, so that they never keep short ones waiting.

To embed a question costs time with its length: 2,000 characters of symbols a hundred times what an
ordinary question does. Knows lengths and threads; not what is done with a question.
"""

from __future__ import annotations

import asyncio
import contextvars
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from api.errors import Overloaded

T = TypeVar("T")
# An ordinary question has 10 to 40 tokens; half a thousand cost a core one to two seconds.
_QUICK_TOKENS = 80
_QUICK_AT_ONCE = 4
_MOST_WAITING = 64
# Syllables and letters make about two to a token, anything else one.
_PAIRED = re.compile(r"[가-힣A-Za-z0-9 ]")


def tokens_at_most(text: str) -> float:
    """About how many tokens an embedder reads of `text`."""
    return len(text) - len(_PAIRED.findall(text)) / 2


class ReadingLanes:
    """Two lanes of threads: four for what is short, one for what is long."""

    def __init__(self) -> None:
        self._quick = ThreadPoolExecutor(_QUICK_AT_ONCE, thread_name_prefix="read")
        self._long = ThreadPoolExecutor(1, thread_name_prefix="read-long")
        self._waiting = 0

    async def run(self, text: str, read: Callable[..., T], *args: object) -> T:
        """`read(*args)` in the lane that its `text` belongs to.

        Raises:
            Overloaded: too many wait already.
        """
        if self._waiting >= _MOST_WAITING:
            raise Overloaded(
                "지금은 질문이 많아 답변할 수 없습니다. 잠시 후 다시 시도해 주세요.", retry_after=5.0
            )
        lane = self._quick if tokens_at_most(text) <= _QUICK_TOKENS else self._long
        context = contextvars.copy_context()
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(lane, lambda: context.run(read, *args))
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Takes no more; what still waits is dropped."""
        for lane in (self._quick, self._long):
            lane.shutdown(wait=False, cancel_futures=True)
