"""Measures turns as a reader sees them: time to the first delta, and the server's own steps.

Knows a `ChatClient`, not where it runs.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path

import numpy as np

from api.client.chat_clients import ChatClient
from api.errors import CommandError
from api.events import Delta, Suggestions, TurnCompleted
from api.turns.start import Question

_WARM_UP = "스토어 이름은 어떻게 바꾸나요?"


def questions_of(path: Path, count: int) -> list[str]:
    """`count` different questions, evenly spread over the file (or the folder's largest file).

    Reads evaluation cases (`query`) and expansions (`queries`, the first of each).

    Raises:
        CommandError: the file holds no question.
    """
    file = max(path.glob("*.jsonl"), key=lambda p: p.stat().st_size) if path.is_dir() else path
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    found = dict.fromkeys(row["query"] if "query" in row else row["queries"][0] for row in rows)
    if not found:
        raise CommandError(f"{file} holds no question")
    every = max(1, len(found) // count)
    return list(found)[::every][:count]


async def measure(
    client: ChatClient,
    questions: Iterable[str],
    *,
    provider: str | None = None,
    cpu: dict[str, list[float]] | None = None,
) -> dict[str, list[float]]:
    """Asks each question in a session of its own; milliseconds by step.

    `first delta` and `whole turn` are the reader's clock, the other steps the server's.

    Args:
        client: who answers.
        questions: what is asked, one after another.
        provider: who writes the answers.
        cpu: where this very process answers, gets its CPU milliseconds by part of each turn.
    """
    async for _ in client.ask(Question(_WARM_UP, provider=provider)):
        pass
    times: defaultdict[str, list[float]] = defaultdict(list)
    for text in questions:
        started, first = time.perf_counter(), 0.0
        parts = _Parts()
        async with aclosing(client.ask(Question(text, provider=provider))) as events:
            async for event in events:
                if isinstance(event, Delta) and not first:
                    first = time.perf_counter() - started
                    times["first delta"].append(first * 1000)
                    parts.end("until the first text")
                elif isinstance(event, TurnCompleted):
                    for step, ms in event.timings_ms.items():
                        times[f"  {step}"].append(ms)
                elif isinstance(event, Suggestions):
                    parts.end("rest of the answer, follow-ups")
        parts.end("end")
        times["whole turn"].append((time.perf_counter() - started) * 1000)
        if cpu is not None:
            for part, ms in parts.spent.items():
                cpu.setdefault(part, []).append(ms)
    return dict(times)


class _Parts:
    """CPU milliseconds of this process, by part of a turn."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self._last = time.process_time()

    def end(self, part: str) -> None:
        now = time.process_time()
        self.spent[part] = (now - self._last) * 1000
        self._last = now


def summarise(times: Mapping[str, Sequence[float]]) -> dict[str, dict[str, float]]:
    """Median, 95th percentile and maximum of each step."""
    return {
        step: {
            "p50": round(float(np.percentile(values, 50)), 2),
            "p95": round(float(np.percentile(values, 95)), 2),
            "max": round(max(values), 2),
        }
        for step, values in times.items()
    }
