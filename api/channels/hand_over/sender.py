"""Delivers queued hand-overs to the operator's webhook. Knows HTTP and times, no conversation."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import structlog

from api.channels.hand_over.deliveries import Deliveries, Delivery
from api.channels.hand_over.signing import signed_headers
from api.channels.settings import HandOverSettings
from api.errors import StateUnavailable
from api.observability.metrics import Metrics
from api.state.connection import State
from api.work.background import background

log = structlog.get_logger(__name__)
_MOST = 8
_LOOK_S, _AWAY_S = 1.0, 5.0


class HandOverSender:
    """Sends what is due, again and again at growing intervals, until it is taken or the intervals end."""

    def __init__(
        self, deliveries: Deliveries, settings: HandOverSettings, http: httpx.AsyncClient, metrics: Metrics
    ) -> None:
        self._deliveries, self._settings, self._http, self._metrics = deliveries, settings, http, metrics

    async def run(self) -> None:
        """Sends for ever."""
        while True:
            try:
                sent = await self.send_due()
                await asyncio.sleep(0 if sent == _MOST else _LOOK_S)
            except StateUnavailable:
                await asyncio.sleep(_AWAY_S)
            except Exception:
                # The edge of the process: the sender must not die of one message.
                log.exception("hand_over.sender_failed")
                await asyncio.sleep(_AWAY_S)

    async def send_due(self) -> int:
        """One attempt for each that is due; returns how many were due."""
        lease_s = 2 * self._settings.timeout_s + _AWAY_S
        claimed = await self._deliveries.claim(_MOST, lease_s=lease_s)
        await asyncio.gather(*(self._send(each) for each in claimed))
        return len(claimed)

    async def _send(self, delivery: Delivery) -> None:
        error = await self._attempt(delivery)
        if not error:
            await self._deliveries.done(delivery.id)
            self._metrics.hand_overs.labels("delivered").inc()
            log.info("hand_over.delivered", hand_over_id=delivery.id, attempt=delivery.attempt)
            return
        waits = self._settings.retry_s
        again_s = waits[delivery.attempt - 1] if delivery.attempt <= len(waits) else None
        await self._deliveries.failed(delivery.id, error, again_s=again_s)
        self._metrics.hand_overs.labels("dead" if again_s is None else "failed").inc()
        facts = {"hand_over_id": delivery.id, "attempt": delivery.attempt, "error": error}
        if again_s is None:
            log.error("hand_over.dead", **facts)
        else:
            log.warning("hand_over.failed", **facts)

    async def _attempt(self, delivery: Delivery) -> str:
        """What went wrong; empty where it was taken."""
        secret = self._settings.secret.get_secret_value()
        headers = signed_headers(delivery.id, delivery.body, secret=secret, at=int(time.time()))
        try:
            response = await self._http.post(
                self._settings.url, content=delivery.body.encode(), headers=headers, follow_redirects=False
            )
        except httpx.HTTPError as exc:
            return repr(exc)
        return "" if response.is_success else f"status {response.status_code}"


@asynccontextmanager
async def sending(state: State, settings: HandOverSettings, metrics: Metrics) -> AsyncIterator[None]:
    """Sends hand-overs while the context is open, where the settings name a webhook."""
    if not settings.url:
        yield
        return
    async with httpx.AsyncClient(timeout=settings.timeout_s) as http:
        sender = HandOverSender(Deliveries(state), settings, http, metrics)
        async with background(sender.run(), name="hand-over-sender"):
            yield
