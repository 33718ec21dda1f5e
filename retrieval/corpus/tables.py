"""Reads FAQ rows out of a `.csv` or `.xlsx` file, as people save them in Excel.

Knows headers in Korean and English, separators, encodings and workbooks; does not clean or number FAQs.
"""

from __future__ import annotations

import csv
import io
import unicodedata
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from retrieval.corpus.rows import MAX_CHARS, MAX_ROWS, Faults, Row, decode
from retrieval.errors import CorpusError

_HINT = (
    'The first line must name the columns: "question" and "answer" (or 질문 and 답변), and optionally '
    '"categories" (분류), "related" (관련 질문), "link" (링크) and "date" (수정일); '
    "quote cells that hold the separator."
)
_NAMES: dict[str, tuple[str, ...]] = {
    "question": ("question", "questions", "질문", "제목", "문의", "q"),
    "answer": ("answer", "answers", "답변", "답", "내용", "a"),
    "categories": ("categories", "category", "분류", "카테고리"),
    "related": ("related", "related questions", "관련 질문", "관련질문", "연관 질문"),
    "link": ("link", "url", "링크", "주소", "원문"),
    "date": ("date", "updated", "날짜", "수정일", "최종 수정일"),
    "id": ("id",),
}
_COLUMNS = {alias: name for name, aliases in _NAMES.items() for alias in aliases}


def csv_rows(data: bytes, path: Path, faults: Faults) -> list[Row]:
    """Reads comma, semicolon or tab separated values in UTF-8, UTF-16 or cp949.

    Raises:
        CorpusError: the encoding is none of these, or the header names no question and answer.
    """
    text = decode(data, path)
    header = text.lstrip().partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    cells: list[tuple[int, list[str]]] = []
    try:
        cells += ((reader.line_num, row) for row in reader)
    except csv.Error as exc:
        faults.add(f"line {reader.line_num} is not CSV ({exc})")
    return _rows(cells, path, faults)


def xlsx_rows(data: bytes, path: Path, faults: Faults) -> list[Row]:
    """Reads the first sheet of a workbook.

    Raises:
        CorpusError: it is no workbook, is protected by a password or unfolds to too much, or the
            header names no question and answer.
    """
    import python_calamine  # only where a workbook is read

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unfolded = sum(entry.file_size for entry in archive.infolist())
        if unfolded > 4 * MAX_CHARS:
            reason = f"unfolds to {unfolded:,} bytes."
            raise CorpusError(path, reason, hint="Split it into several workbooks.")
        sheet = python_calamine.load_workbook(io.BytesIO(data)).get_sheet_by_index(0)
        first = (sheet.start or (0, 0))[0] + 1
        cells = [
            (number, [_cell(value) for value in row])
            for number, row in enumerate(sheet.to_python(nrows=MAX_ROWS + 1), start=first)
        ]
    except (zipfile.BadZipFile, python_calamine.CalamineError, ValueError, TypeError, IndexError) as exc:
        reason = f"is not a workbook that can be read ({exc})."
        raise CorpusError(path, reason, hint="Save it as .xlsx without a password, or as CSV.") from exc
    return _rows(cells, path, faults)


def _cell(value: object) -> str:
    """The cell as text; Excel keeps whole numbers as floats, and writes line ends as `_x000D_`."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).replace("_x000D_", "")


def _rows(cells: Iterable[tuple[int, list[str]]], path: Path, faults: Faults) -> list[Row]:
    lines = [(number, row) for number, row in cells if any(cell.strip() for cell in row)]
    if not lines:
        return []
    columns = _header(lines[0][1], path, faults)
    rows: list[Row] = []
    for number, row in lines[1:]:
        place = f"line {number}"
        if len(row) != len(lines[0][1]):
            faults.add(f"{place} has not {len(lines[0][1])} cells")
            continue
        one = {name: row[index] for name, index in columns.items()}
        lists = (_list(one.get("categories", "")), _list(one.get("related", "")))
        more = (one.get(name, "").strip() for name in ("id", "link", "date"))
        rows.append(Row(one["question"], one["answer"], *lists, place, *more))
    return rows


def _header(header: Sequence[str], path: Path, faults: Faults) -> dict[str, int]:
    """Where each known column is; columns of other names are told of and left out."""
    names = [" ".join(unicodedata.normalize("NFC", cell).split()) for cell in header]
    columns: dict[str, int] = {}
    for index, name in enumerate(names):
        known = _COLUMNS.get(name.lower())
        if known is None:
            faults.ignored += filter(None, [name])
        elif known in columns:
            faults.add(f"has two columns for the {known}: {names[columns[known]]} and {name}")
        else:
            columns[known] = index
    if missing := [name for name in ("question", "answer") if name not in columns]:
        reason = f"has no column {' and '.join(missing)} (its columns: {', '.join(names)})."
        raise CorpusError(path, reason, hint=_HINT)
    return columns


def _list(cell: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in cell.split(";") if part.strip())
