"""Runs turns through a queue: publishes them for workers, wherever those are.

Knows the broker and the records; the worker's side is `api.turns.runners.worker`.
"""

from __future__ import annotations

from api.errors import ApiError
from api.state.broker import Broker
from api.turns.records import TurnRecords, encode_request
from api.turns.runners.base import TurnRequest
from api.turns.runners.waiting import WaitingTime


class QueuedRunner:
    """Starts a turn by publishing it; any process can follow its events."""

    def __init__(self, turns: TurnRecords, broker: Broker, waiting: WaitingTime) -> None:
        self._turns, self._broker, self._waiting = turns, broker, waiting

    async def start(self, request: TurnRequest) -> None:
        """Returns when the broker holds the turn safely.

        A refused turn is forgotten, so that the same request may come again.

        Raises:
            Overloaded: the queue is full, or its turns wait too long.
            QueueUnavailable: the broker is away.
        """
        try:
            await self._waiting.admit()
            await self._broker.publish("turns", encode_request(request).encode(), message_id=request.turn_id)
        except ApiError:
            await self._turns.discard(request.turn_id)
            raise

    async def stop(self, turn_id: str) -> None:
        """Asks the turn to end, wherever it runs or waits."""
        await self._turns.stop(turn_id)

    async def drain(self, timeout_s: float) -> None:
        """Nothing runs here."""
