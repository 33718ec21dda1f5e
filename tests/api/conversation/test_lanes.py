"""Long questions wait for each other, short ones do not wait for them."""

from __future__ import annotations

import asyncio
import threading

import pytest

from api.conversation.lanes import ReadingLanes, tokens_at_most
from api.errors import Overloaded

WORST = ("!@#$%^&*()" * 200, "보통" * 1000, "😀" * 2000)
ORDINARY = "스마트스토어 판매 대금은 구매확정 뒤 며칠 만에 통장으로 들어오나요?"


async def test_short_questions_pass_any_number_of_long_ones() -> None:
    lanes, go, running = ReadingLanes(), threading.Event(), []

    def read_long(n: int) -> int:
        running.append(n)
        assert go.wait(60)
        return n

    long = [asyncio.create_task(lanes.run(WORST[n % 3], read_long, n)) for n in range(20)]
    assert await asyncio.wait_for(lanes.run(ORDINARY, lambda: "읽음"), 60) == "읽음"
    assert running == [0]
    go.set()
    assert await asyncio.gather(*long) == list(range(20))
    lanes.close()


async def test_what_waits_is_bounded_and_leaves_with_its_asker() -> None:
    lanes, go = ReadingLanes(), threading.Event()
    waiting = [asyncio.create_task(lanes.run(WORST[0], go.wait, 20)) for _ in range(64)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await lanes.run(ORDINARY, str)
    for task in waiting[1:]:
        task.cancel()
    await asyncio.gather(*waiting[1:], return_exceptions=True)
    go.set()
    assert await waiting[0]
    assert await lanes.run(WORST[0], lambda: 1) == 1
    lanes.close()


def test_an_ordinary_question_is_short_and_the_worst_are_long() -> None:
    assert tokens_at_most(ORDINARY) < 30
    assert min(map(tokens_at_most, WORST)) >= 1000
