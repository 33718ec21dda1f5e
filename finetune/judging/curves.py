"""Writes what a trainer logs to `curves.jsonl`, one line a step. Knows no training."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback


class Curves(TrainerCallback):  # type: ignore[misc]
    """Appends every log to a file; on resuming it drops the lines of steps that are done again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._started = time.monotonic()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Keeps the lines up to the step that training starts from."""
        self._started = time.monotonic()
        if not state.is_world_process_zero:
            return
        kept = [line for line in read_curves(self._path) if line["step"] <= state.global_step]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(json.dumps(line) + "\n" for line in kept if state.global_step)
        self._path.write_text(text, encoding="utf-8")

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Appends one line: the step, seconds since the start, and every number logged."""
        if not state.is_world_process_zero or not logs:
            return
        numbers = {name: float(value) for name, value in logs.items() if isinstance(value, int | float)}
        line = {"step": state.global_step, "seconds": round(time.monotonic() - self._started, 2), **numbers}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def read_curves(path: Path) -> list[dict[str, float]]:
    """The lines of a `curves.jsonl`; none where there is no file."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
