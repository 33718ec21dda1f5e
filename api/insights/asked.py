"""Turns of a time, each with what went wrong: refused, unsure, thumbed down, asked again. Knows rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from api.history.entry import Row

Fault = Literal["not_found", "unsure", "off_topic", "down", "again", "failed"]
_AGAIN_MS = 15 * 60_000
# Five sellers' wordings for each of 68 FAQs, centred E5 vectors: of 1,000 pairs about different FAQs one
# is above 0.45, of pairs about the same one about a third.
_ALIKE = 0.45


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that was not settled.

    Attributes:
        row: the turn.
        fault: why it is here.
        position: its place among the vectors.
    """

    row: Row
    fault: Fault
    position: int


def faulty(rows: Sequence[Row], vectors: NDArray[np.float32]) -> list[Asked]:
    """Those of `rows` (oldest first, with their centred vectors) that were not settled."""
    again = asked_again(rows, vectors)
    found = []
    for position, row in enumerate(rows):
        fault = _fault(row, position in again)
        if fault is not None:
            found.append(Asked(row, fault, position))
    return found


def asked_again(rows: Sequence[Row], vectors: NDArray[np.float32]) -> set[int]:
    """Positions of turns whose question came again in other words in the same session, soon after."""
    last: dict[str, int] = {}
    found = set()
    for position, row in enumerate(rows):
        session = row["session_id"]
        if not session:
            continue
        before = last.get(session)
        last[session] = position
        if before is None or row["started_ms"] - rows[before]["started_ms"] > _AGAIN_MS:
            continue
        same_words = row["question"] == rows[before]["question"]
        if not same_words and float(vectors[before] @ vectors[position]) >= _ALIKE:
            found.add(before)
    return found


def _fault(row: Row, again: bool) -> Fault | None:
    if row["rating"] == "down":
        return "down"
    if row["rating"] == "up":
        return None
    if row["status"] == "failed":
        return "failed"
    match row["verdict"]:
        case "not_found":
            return "not_found"
        case "unsure":
            return "unsure"
        case "off_topic":
            return "off_topic"
        case _:
            return "again" if again else None
