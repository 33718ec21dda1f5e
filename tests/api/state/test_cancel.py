"""A cancelled call of the state store is cancelled, whenever the cancellation comes."""

from __future__ import annotations

import asyncio
import random

from api.state.connection import State


async def test_cancellation_is_never_lost_in_a_call(state: State) -> None:
    async def call_for_ever() -> None:
        while True:
            await state.call(state.redis.get(f"{state.prefix}nothing"))

    await state.ping()
    for _ in range(60):
        task = asyncio.create_task(call_for_ever())
        await asyncio.sleep(random.uniform(0, 0.004))
        task.cancel()
        await asyncio.wait({task}, timeout=60)
        assert task.cancelled()
