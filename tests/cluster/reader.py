"""A reader of turns as a careful client is one: resumes after a lost line, elsewhere if need be.

Records every event it is given, in order, so that a drill can look for gaps and repeats.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

AWAY = (aiohttp.ClientError, TimeoutError, OSError)


@dataclass
class Turn:
    """What a reader saw of one turn; times are `time.monotonic()`."""

    question: str
    asked_at: float = field(default_factory=time.monotonic)
    turn_id: str = ""
    taken_at: float = 0.0
    events: list[tuple[int, str, dict[str, Any]]] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    refused: int = 0
    retry_after: bool = True
    resumed: int = 0

    @property
    def end(self) -> str:
        """completed, failed, or lost."""
        kind = self.events[-1][1] if self.events else ""
        return {"turn.completed": "completed", "error": "failed"}.get(kind, "lost")

    @property
    def doubled(self) -> bool:
        """True when the reader saw an event, a piece of text or an end twice."""
        numbers = [n for n, _, _ in self.events]
        if len(set(numbers)) != len(numbers):
            return True
        text, ends = "", 0
        for _, kind, data in self.events:
            if kind == "provider.switched":
                text = ""
            text += data["text"] if kind == "delta" else ""
            ends += kind in ("turn.completed", "error")
        last = self.events[-1] if self.events else (0, "", {})
        return ends > 1 or (last[1] == "turn.completed" and last[2]["answer"] != text)

    @property
    def in_order(self) -> bool:
        """True when the numbers are 1, 2, 3 … without a gap."""
        return [n for n, _, _ in self.events] == list(range(1, len(self.events) + 1))

    @property
    def longest_silence_s(self) -> float:
        """The longest time without an event, from when the turn was taken to its end."""
        moments = [self.taken_at, *self.at]
        return max((b - a for a, b in itertools.pairwise(moments)), default=0.0)


async def ask(
    http: aiohttp.ClientSession,
    urls: Sequence[str],
    question: str,
    *,
    patience_s: float = 90.0,
    once: bool = False,
) -> Turn:
    """Asks at the first of `urls` and reads to the end; resumes at the others.

    `once` takes a refusal (503) for an answer instead of trying again with the same key.
    """
    turn, key = Turn(question), secrets.token_hex(8)
    attempt = 0
    while time.monotonic() - turn.asked_at < patience_s and turn.end == "lost":
        url = urls[attempt % len(urls)]
        attempt += 1
        try:
            if turn.turn_id:
                turn.resumed += 1
                path, headers = f"/chat/turns/{turn.turn_id}/events", {"Last-Event-ID": str(len(turn.events))}
                call = http.get(url + path, headers=headers)
            else:
                call = http.post(url + "/chat", json={"question": question}, headers={"Idempotency-Key": key})
            async with call as response:
                if response.status != 200:
                    turn.refused += 1
                    turn.retry_after &= "Retry-After" in response.headers or response.status != 503
                    if once:
                        return turn
                    await asyncio.sleep(float(response.headers.get("Retry-After", "1")))
                    continue
                turn.turn_id = turn.turn_id or response.headers["X-Turn-Id"]
                turn.taken_at = turn.taken_at or time.monotonic()
                await read(turn, response)
        except AWAY:
            await asyncio.sleep(0.2)
    return turn


async def read(turn: Turn, response: aiohttp.ClientResponse) -> None:
    """Adds the events of a response to the turn."""
    async for number, kind, data in events(response):
        turn.events.append((number, kind, data))
        turn.at.append(time.monotonic())


async def events(response: aiohttp.ClientResponse) -> AsyncIterator[tuple[int, str, dict[str, Any]]]:
    """The events of a stream, as they come."""
    fields: dict[str, str] = {}
    async for raw in response.content:
        line = raw.decode().rstrip("\n")
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif fields:
            yield int(fields["id"]), fields["event"], json.loads(fields["data"])
            fields = {}


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of the values lie; 0 for none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
