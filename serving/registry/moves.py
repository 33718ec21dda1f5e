"""The audit trail of an alias: who moved it, when, from what to what; a line of JSON for each move.

    var/adapters/moves.jsonl
    {"action": "promote", "name": "faq-…", "by": "…", "at_ms": …, "before": {"model": …}, "after": {…}}

Whoever holds the registry's lock writes it, the command line and the API alike. Knows one file.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from serving.registry.pointer import Pointer

FILE = "moves.jsonl"
Action = Literal["promote", "try", "end_trial", "rollback", "remove"]
# Of the file's end: some hundreds of moves.
_TAIL_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Move:
    """One move.

    Attributes:
        action: what was done.
        name: the adapter that it was done with; empty for the base model.
        by: who did it: an API key's id, or the user of a command line.
        at_ms: when, milliseconds since 1970.
        before: `model` (empty: the base model), `candidate` and `share` until then.
        after: the same from then on.
    """

    action: Action
    name: str
    by: str
    at_ms: int
    before: Mapping[str, Any]
    after: Mapping[str, Any]


def write_move(
    registry: Path, action: Action, name: str, *, by: str, before: Pointer, after: Pointer
) -> None:
    """Adds a move to the trail; written before the pointer, so that no move is without its line."""
    move = Move(action, name, by, int(time.time() * 1000), _answering(before), _answering(after))
    with (registry / FILE).open("a", encoding="utf-8") as trail:
        trail.write(json.dumps(asdict(move), ensure_ascii=False) + "\n")


def read_moves(registry: Path, *, limit: int = 50) -> list[Move]:
    """The last moves, newest first; a line that cannot be read is left out."""
    try:
        with (registry / FILE).open("rb") as trail:
            trail.seek(0, 2)
            trail.seek(max(0, trail.tell() - _TAIL_BYTES))
            lines = trail.read().decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return []
    found: list[Move] = []
    for line in reversed(lines):
        try:
            found.append(Move(**json.loads(line)))
        except (ValueError, TypeError):
            continue
        if len(found) == limit:
            break
    return found


def _answering(pointer: Pointer) -> dict[str, Any]:
    return {"model": pointer.model, "candidate": pointer.candidate, "share": pointer.share}
