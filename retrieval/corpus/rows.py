"""Reads FAQ rows out of a `.pkl` or `.jsonl` file, as they stand there; `.csv` and `.xlsx` have `tables.py`.

Knows the file formats and their faults; does not clean, number or deduplicate (`faq.py` does).
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from charset_normalizer import from_bytes

from retrieval.corpus.pickle_reader import read_pickle
from retrieval.errors import CorpusError

# Ten times the largest index that is answered from memory, and four times the largest file: a pickle can
# name one text many times, and a workbook is packed.
MAX_ROWS, MAX_CHARS = 500_000, 256 * 1024 * 1024
_ENCODINGS = ["cp949", "utf_16", "johab"]
_MOST_TOLD = 20
_ID = re.compile(r"[0-9a-f]{12}")
_JSONL_HINT = (
    'Each line must be {"question": "…", "answer": "…"}, optionally "id", "categories", "related", '
    '"link" and "date".'
)


@dataclass(frozen=True, slots=True)
class Row:
    """One FAQ as the file has it; `place` says where (`line 3`, `entry 3`), `id` may be empty."""

    question: str
    answer: str
    categories: tuple[str, ...]
    related: tuple[str, ...]
    place: str
    id: str = ""
    link: str = ""
    date: str = ""


@dataclass(slots=True)
class Faults:
    """What is wrong with a file, told at once; `ignored` names the columns that mean nothing here."""

    found: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)

    def add(self, fault: str) -> None:
        """Notes a fault, without a full stop."""
        self.found.append(fault)

    def check(self, path: Path, hint: str = "Mend it, or leave the entry out.") -> None:
        """Raises `CorpusError` with every fault; nothing where there is none."""
        more = len(self.found) - _MOST_TOLD
        told = self.found[:_MOST_TOLD] + ([f"and {more} more"] if more > 0 else [])
        if told:
            raise CorpusError(path, "; ".join(told) + ".", hint=hint)


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
    """Returns the text of UTF-8, with or without a byte order mark, or of an encoding Korean Excel writes.

    Raises:
        CorpusError: it is in none of them.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        best = from_bytes(data, cp_isolation=_ENCODINGS).best()
        if best is None:
            reason = f"is not UTF-8 (byte {exc.start}), nor cp949."
            raise CorpusError(path, reason, hint='Save it as UTF-8 (in Excel: "CSV UTF-8").') from exc
        return str(best).removeprefix("\ufeff")


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


def pickle_rows(data: bytes, path: Path, faults: Faults) -> list[Row]:
    """Reads a pickled dict of question to answer."""
    return [Row(q, a, (), (), f"entry {n}") for n, (q, a) in enumerate(read_pickle(data, path), start=1)]


def jsonl_rows(data: bytes, path: Path, faults: Faults) -> list[Row]:
    """Reads a JSON object a line."""
    rows: list[Row] = []
    for number, line in enumerate(decode(data, path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            _, row = next(json_lines(line, path, _JSONL_HINT))
        except CorpusError as exc:
            faults.add(exc.reason.replace("line 1", f"line {number}", 1).rstrip("."))
            continue
        place = f"line {number}"
        wrong = [key for key in ("question", "answer") if not isinstance(row.get(key), str)]
        for key in wrong:
            faults.add(f'{place}: "{key}" {"is not a string" if key in row else "is missing"}')
        id = row.get("id", "")
        for key in ("link", "date"):
            if not isinstance(row.get(key) or "", str):
                faults.add(f'{place}: "{key}" is not a string')
                wrong.append(key)
        if not isinstance(id, str) or not (id == "" or _ID.fullmatch(id)):
            faults.add(f'{place}: "id" must be 12 hex digits')
        elif not wrong:
            try:
                lists = (text_list(row, "categories"), text_list(row, "related"))
            except TypeError as exc:
                faults.add(f"{place}: {exc}")
            else:
                origin = (row.get("link") or "", row.get("date") or "")
                rows.append(Row(row["question"], row["answer"], *lists, place, id, *origin))
    return rows


def composed(row: Row) -> Row:
    """The row in NFC: files from macOS may hold Hangul in single letters."""

    def nfc(*texts: str) -> tuple[str, ...]:
        return tuple(unicodedata.normalize("NFC", text) for text in texts)

    question, answer = nfc(row.question, row.answer)
    categories, related = nfc(*row.categories), nfc(*row.related)
    return replace(row, question=question, answer=answer, categories=categories, related=related)
