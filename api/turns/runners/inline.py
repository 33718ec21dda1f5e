"""Runs turns as tasks of this process. Knows nothing of HTTP and of how answers are made."""

from __future__ import annotations

import asyncio

import structlog

from api.errors import ApiError, Overloaded
from api.turns.answering import Answering
from api.turns.records import TurnRecords
from api.turns.run import RunLimits, run_turn
from api.turns.runners.base import TurnRequest
from api.turns.signals import Signals

log = structlog.get_logger(__name__)
# For a turn to save what it has and to write its last event.
INTERRUPT_S = 5.0


class InlineRunner:
    """At most `max_turns` turns at a time; more are refused, not queued."""

    def __init__(
        self,
        answering: Answering,
        turns: TurnRecords,
        signals: Signals,
        *,
        limits: RunLimits = RunLimits(),
        max_turns: int = 64,
    ) -> None:
        self._answering, self._turns, self._signals = answering, turns, signals
        self._limits, self._max_turns = limits, max_turns
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._draining = False

    @property
    def running(self) -> int:
        """How many turns run now."""
        return len(self._tasks)

    async def start(self, request: TurnRequest) -> None:
        """Begins a turn that `TurnRecords.begin` has recorded; raises `Overloaded` at the bound.

        A refused turn is forgotten, so that the same request may come again.
        """
        if self._draining or len(self._tasks) >= self._max_turns:
            await self._turns.discard(request.turn_id)
            raise Overloaded(
                "지금은 질문이 많아 답변할 수 없습니다. 잠시 후 다시 시도해 주세요.", retry_after=2.0
            )
        if request.turn_id in self._tasks:
            return
        # Opened here, not in the task, so that who follows next is served from this process.
        self._turns.log.open_feed(request.turn_id)
        task = asyncio.create_task(self._run(request), name=f"run-{request.turn_id}")
        self._tasks[request.turn_id] = task
        task.add_done_callback(lambda _: self._tasks.pop(request.turn_id, None))

    async def stop(self, turn_id: str) -> None:
        """Asks the turn to end, here or in another process."""
        self._signals.send(turn_id, "stopped")
        await self._turns.stop(turn_id)

    async def drain(self, timeout_s: float) -> None:
        """Refuses new turns, waits `timeout_s` seconds, then closes the rest as interrupted."""
        self._draining = True
        await self._wait(timeout_s)
        for turn_id in tuple(self._tasks):
            self._signals.send(turn_id, "interrupted")
        await self._wait(INTERRUPT_S)
        left = list(self._tasks.values())
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _wait(self, timeout_s: float) -> None:
        if self._tasks:
            await asyncio.wait(set(self._tasks.values()), timeout=timeout_s)

    async def _run(self, request: TurnRequest) -> None:
        try:
            await run_turn(
                request,
                answering=self._answering,
                turns=self._turns,
                signals=self._signals,
                limits=self._limits,
            )
        except ApiError as exc:
            log.warning("turn.given_up", turn_id=request.turn_id, code=exc.code, error=str(exc))
        except Exception:
            log.exception("turn.run_failed", turn_id=request.turn_id)
        finally:
            self._turns.log.close_feed(request.turn_id)
