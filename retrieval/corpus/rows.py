"""Reads FAQ rows out of a `.pkl`, `.jsonl` or `.csv` file, as they stand there.

Knows the file formats and their faults; does not clean, number or deduplicate (`corpus.py` does).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrieval.corpus.pickle_reader import read_pickle
from retrieval.errors import CorpusError

_JSONL_HINT = 'Each line must be {"question": "…", "answer": "…"}, optionally "categories" and "related".'
_CSV_HINT = 'The first line must name the columns "question" and "answer"; quote cells that hold commas.'


@dataclass(frozen=True, slots=True)
class Row:
    """One FAQ as the file has it; `place` says where (`line 3`, `entry 3`)."""

    question: str
    answer: str
    categories: tuple[str, ...]
    related: tuple[str, ...]
    place: str


def read_bytes(path: Path, max_bytes: int) -> bytes:
    """Returns the whole file, which must be a regular one of at most `max_bytes` bytes.

    Raises:
        CorpusError: missing, not a file, unreadable, or too large.
    """
    if not path.is_file():
        reason = "is not a file." if path.exists() else "does not exist."
        raise CorpusError(path, reason, hint="Give the path of a .pkl, .jsonl or .csv file.")
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as exc:
        raise CorpusError(path, f"cannot be read ({exc.strerror}).", hint="Check its permissions.") from exc
    if len(data) > max_bytes:
        reason = f"is larger than {max_bytes:,} bytes."
        raise CorpusError(path, reason, hint="Split it, or raise max_bytes if it really is a FAQ.")
    return data


def decode(data: bytes, path: Path) -> str:
    """Returns UTF-8 text, without a byte order mark; raises CorpusError on any other encoding."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        reason = f"is not UTF-8 (byte {exc.start})."
        raise CorpusError(path, reason, hint='Save it as UTF-8 (in Excel: "CSV UTF-8").') from exc


def json_lines(text: str, path: Path, hint: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields line number and object of each line that is not blank.

    Raises:
        CorpusError: a line is not a JSON object.
    """
    # Not splitlines(): U+2028 and the like may stand raw inside a JSON string.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as exc:
            raise CorpusError(path, f"line {number} is not JSON ({exc}).", hint=hint) from exc
        if not isinstance(row, dict):
            raise CorpusError(path, f"line {number} is not a JSON object.", hint=hint)
        yield number, row


def text_list(row: dict[str, Any], key: str) -> tuple[str, ...]:
    """Returns `row[key]`, a list of strings; empty where absent or null. Raises TypeError otherwise."""
    value = row.get(key)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise TypeError(f'"{key}" must be a list of strings')
    return tuple(value)


def read_rows(data: bytes, path: Path) -> list[Row]:
    """Reads the rows of a file by its suffix.

    Raises:
        CorpusError: the suffix is unknown or the file is faulty; the message names the line.
    """
    match path.suffix.lower():
        case ".pkl" | ".pickle":
            pairs = read_pickle(data, path)
            return [Row(q, a, (), (), f"entry {n}") for n, (q, a) in enumerate(pairs, start=1)]
        case ".jsonl":
            return _jsonl_rows(decode(data, path), path)
        case ".csv":
            return _csv_rows(decode(data, path), path)
        case suffix:
            reason = f"has an unknown suffix {suffix!r}."
            raise CorpusError(path, reason, hint="Valid: .pkl, .jsonl, .csv.")


def _jsonl_rows(text: str, path: Path) -> list[Row]:
    rows: list[Row] = []
    for number, row in json_lines(text, path, _JSONL_HINT):
        place = f"line {number}"
        for key in ("question", "answer"):
            if not isinstance(row.get(key), str):
                fault = "is not a string" if key in row else "is missing"
                raise CorpusError(path, f'{place}: "{key}" {fault}.', hint=_JSONL_HINT)
        try:
            categories, related = text_list(row, "categories"), text_list(row, "related")
        except TypeError as exc:
            raise CorpusError(path, f"{place}: {exc}.", hint=_JSONL_HINT) from exc
        rows.append(Row(row["question"], row["answer"], categories, related, place))
    return rows


def _csv_rows(text: str, path: Path) -> list[Row]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    rows: list[Row] = []
    try:
        columns = [name.strip() for name in reader.fieldnames or ()]
        reader.fieldnames = columns
        missing = [name for name in ("question", "answer") if name not in columns]
        if missing and columns:
            reason = f"has no column {' and '.join(missing)} (its columns: {', '.join(columns)})."
            raise CorpusError(path, reason, hint=_CSV_HINT)
        for row in reader:
            place = f"line {reader.line_num}"
            if None in row or None in row.values():
                raise CorpusError(path, f"{place} has not {len(columns)} cells.", hint=_CSV_HINT)
            lists = (_cell_list(row.get("categories")), _cell_list(row.get("related")))
            rows.append(Row(row["question"], row["answer"], *lists, place))
    except csv.Error as exc:
        raise CorpusError(path, f"line {reader.reader.line_num} is not CSV ({exc}).", hint=_CSV_HINT) from exc
    return rows


def _cell_list(cell: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (cell or "").split(";") if part.strip())
