"""The worker of turns: runs queued ones with the same conversation as everybody else.

A turn that is delivered again after its worker died goes on where the reader stands (see `run_turn`).
Knows nothing of HTTP.
"""

from __future__ import annotations

import time

import structlog
from aio_pika.abc import AbstractIncomingMessage

from api.state.broker import PUBLISHED_MS, Broker
from api.turns.answering import Answering
from api.turns.records import TurnRecords, decode_request
from api.turns.run import RunLimits, run_turn
from api.turns.runners.waiting import WaitingTime
from api.turns.signals import Signals
from api.work.queue_worker import QueueWorker


class TurnWorker(QueueWorker):
    """Consumes the queue of turns."""

    queue = "turns"

    def __init__(
        self,
        broker: Broker,
        answering: Answering,
        turns: TurnRecords,
        signals: Signals,
        *,
        limits: RunLimits,
        concurrency: int,
        waiting: WaitingTime,
    ) -> None:
        super().__init__(broker, concurrency=concurrency)
        self._answering, self._turns = answering, turns
        self._signals, self._limits, self._waiting = signals, limits, waiting

    async def run(self, message: AbstractIncomingMessage) -> None:
        """Answers the turn of the message."""
        request = decode_request(message.body.decode())
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(turn_id=request.turn_id, session_id=request.session_id)
        published = message.headers.get(PUBLISHED_MS)
        if isinstance(published, int) and not message.redelivered:
            await self._waiting.tell(time.time() - published / 1000)
        await run_turn(
            request,
            answering=self._answering,
            turns=self._turns,
            signals=self._signals,
            limits=self._limits,
        )
