"""Reads the JSON lines of a case file, with one clear line for whatever is wrong.

Knows JSON and places in a file; does not know what the fields mean.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from api.errors import CommandError


class CasesError(CommandError):
    """A case file cannot be used; the message is one line and names the place."""


def json_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields each row with its place (`file: line 3`).

    Raises:
        CasesError: unreadable, empty, or a line is no JSON object.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as exc:
        raise CasesError(f"{path}: cannot be read ({exc})") from exc
    rows = 0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        rows += 1
        place = f"{path}: line {number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as exc:
            raise CasesError(f"{place}: no JSON ({exc})") from exc
        if not isinstance(row, dict):
            raise CasesError(f"{place}: expected an object, found {type(row).__name__}")
        yield place, row
    if not rows:
        raise CasesError(f"{path}: holds no case")


def text_of(row: dict[str, Any], key: str, place: str) -> str:
    """A field that must be text and not blank. Raises `CasesError`."""
    value = row.get(key)
    if not isinstance(value, str) or not value.strip():
        raise CasesError(f"{place}: {key!r} must be a text that is not blank, found {value!r}")
    return value


def texts_of(row: dict[str, Any], key: str, place: str) -> tuple[str, ...]:
    """A field that must be a list of texts. Raises `CasesError`."""
    value = row.get(key)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise CasesError(f"{place}: {key!r} must be a list of texts, found {value!r}")
    return tuple(value)
