"""Keeps each played turn in a file: a measurement of hours goes on where it was. Knows no case files."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from api.conversation.answer import Conversation
from api.conversation.memory import Memory
from api.evaluation.play import PlayedTurn, Player

_TURN = TypeAdapter(PlayedTurn)


class KeptPlayer(Player):
    """A player that keeps each turn in a file, and plays none again that the file holds.

    Args:
        conversation: the real one.
        provider: who is asked.
        file: JSON lines, one a turn; made where it is missing.
        conditions: what an answer depends on besides the question and the turns before it: a turn that was
            kept under other conditions is played again.
        turns: how many will be asked for, to say how long it takes.
    """

    def __init__(
        self,
        conversation: Conversation,
        provider: str,
        file: Path,
        *,
        conditions: Mapping[str, object],
        turns: int,
    ) -> None:
        super().__init__(conversation, provider)
        self._file, self._conditions, self._expected = file, conditions, turns
        self._kept, self._seconds = _read(file), list[float]()
        self.turns: list[PlayedTurn] = []

    async def __call__(self, question: str, memory: Memory | None = None) -> PlayedTurn:
        """The turn, out of the file or played now."""
        memory = memory or Memory()
        key = self._key(question, memory)
        if key in self._kept:
            turn = self._kept[key]
            self.count(turn)
        else:
            started = time.monotonic()
            turn = await super().__call__(question, memory)
            self._seconds.append(time.monotonic() - started)
            self._keep(key, turn)
        self.turns.append(turn)
        if self._seconds:
            self._progress()
        return turn

    def _key(self, question: str, memory: Memory) -> str:
        turns = [asdict(turn) for turn in memory.turns]
        asked = json.dumps([self._conditions, question, turns], ensure_ascii=False, sort_keys=True)
        return hashlib.sha256(asked.encode()).hexdigest()

    def _keep(self, key: str, turn: PlayedTurn) -> None:
        self._kept[key] = turn
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("a", encoding="utf-8") as file:
            row = {"key": key, "turn": _TURN.dump_python(turn, mode="json")}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")

    def _progress(self) -> None:
        each = sum(self._seconds) / len(self._seconds)
        left = (self._expected - len(self.turns)) * each / 60
        print(
            f"{self.provider}: {len(self.turns)} of {self._expected} turns, {each:.0f} s each, "
            f"at most {left:.0f} min left",
            file=sys.stderr,
            flush=True,
        )


def _read(file: Path) -> dict[str, PlayedTurn]:
    kept: dict[str, PlayedTurn] = {}
    if not file.exists():
        return kept
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
            kept[row["key"]] = _TURN.validate_python(row["turn"], strict=False)
        except (ValueError, KeyError, ValidationError):
            continue  # the half line of a run that was killed
    return kept
