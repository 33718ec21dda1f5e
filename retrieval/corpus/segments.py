"""Takes a cleaned answer apart into sentences and list items, and puts a choice of them together again.

Knows the line grammar of `list_markers.py`; does not know questions, scores or citations.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from retrieval.corpus.list_markers import BULLET, HEADING_MAX, Line, is_title, parse_line

SegmentKind = Literal["paragraph", "step", "bullet", "note", "heading", "table"]

_SENTENCE_END = re.compile(
    r"(?<=[가-힣\d)\]'\"’”%」A-Za-z])[.?!]+[)\]」]*(?=\s)(?!\s+\()"
    r"|(?<=[.?!]\))(?=\s+[^\s(])|(?<=\w\))(?=\s+[가-힣A-Z\[])"
)
_ENDINGS = re.compile(r"(?:[가-힣]|[)\]%'\"’”」])[.?!]")
_ABBREVIATION = re.compile(r"(?:^|[\s(])(?:No|vs|ex|Case \d+|예|참고|주의|중요|[가-하]|[A-Za-z]|\d{1,4})\.$")
_CLOSED = re.compile(r"[.?!:]['\"’”)\]]*$|[다요죠까음함됨임]$")
_LONG_CELLS, _SHORT_CELL, _MIN_CELLS = 140, 24, 3


@dataclass(frozen=True, slots=True)
class Segment:
    """One sentence, or one heading or table line.

    Attributes:
        text: without its list marker.
        kind: what kind of line it stood in.
        level: depth of the line, 0 for the outermost.
        index: position among all segments of the answer.
        item: number of the line; the sentences of one list item or paragraph share it.
        marker: the item's marker (`1.`, `·`, `※`), on its first sentence only.
    """

    text: str
    kind: SegmentKind
    level: int
    index: int
    item: int
    marker: str


def segments(text: str) -> tuple[Segment, ...]:
    """Returns the segments of a cleaned answer in reading order; an empty text has none."""
    lines = [parse_line(raw) for raw in text.split("\n")]
    tables = _table_lines(lines)
    found: list[Segment] = []
    item = 0
    for number, line in enumerate(lines):
        if not line.text and not line.marker:
            continue
        kind = "table" if number in tables else _kind(line, _next_line(lines, number))
        whole = kind in ("heading", "table")
        parts = (line.text,) if whole else tuple(split_sentences(line.text)) or ("",)
        for position, part in enumerate(parts):
            marker = "" if position else line.marker
            found.append(Segment(part, kind, line.indent, len(found), item, marker))
        item += 1
    return tuple(found)


def split_sentences(text: str) -> Iterator[str]:
    """Yields the sentences of one line. A remark in parentheses stays with the sentence before it.

    Decimals, dates, abbreviations and the inside of parentheses and brackets are not split.
    """
    start = 0
    for match in _SENTENCE_END.finditer(text):
        end = match.end()
        sentence = text[start:end]
        if match[0] == "" and not _remark_closes(sentence):
            continue
        if match[0] and (_ABBREVIATION.search(sentence) or _is_open(sentence)):
            continue
        if sentence.strip():
            yield sentence.strip()
        start = end
    if text[start:].strip():
        yield text[start:].strip()


def join_segments(chosen: Iterable[Segment]) -> str:
    """Writes segments as lines again: sentences of one item on one line, with its marker and level."""
    lines: list[str] = []
    for _, group in groupby(chosen, key=lambda segment: segment.item):
        parts = list(group)
        marker = parts[0].marker or _lost_marker(parts[0])
        body = " ".join(part.text for part in parts if part.text)
        lines.append(f"{'  ' * parts[0].level}{marker} {body}".rstrip() if marker else body)
    return "\n".join(lines)


def _lost_marker(segment: Segment) -> str:
    """A list item whose first sentence was not chosen is still a list item."""
    return {"bullet": BULLET, "step": BULLET, "note": "※"}.get(segment.kind, "")


def _kind(line: Line, following: Line | None) -> SegmentKind:
    match line.kind:
        case "bullet" | "step" | "note":
            return line.kind
        case "heading":
            return "heading" if len(line.text) <= HEADING_MAX and not _CLOSED.search(line.text) else "bullet"
        case "question" if len(line.text) <= _LONG_CELLS:
            return "heading"
        case "question" | "answer":
            return "paragraph"
    if is_title(line.text):
        return "heading"
    leads = following is not None and following.kind in ("bullet", "step")
    short = len(line.text) <= HEADING_MAX and not _CLOSED.search(line.text)
    return "heading" if leads and short else "paragraph"


def _next_line(lines: list[Line], number: int) -> Line | None:
    return next((line for line in lines[number + 1 :] if line.marker or line.text), None)


def _table_lines(lines: list[Line]) -> set[int]:
    """Numbers of lines that are cells of a table: pipes, a long dump of words, or many short lines."""
    found: set[int] = set()
    run: list[int] = []
    for number, line in enumerate(lines):
        if not line.marker and not line.text:
            continue
        if not line.marker and (
            line.text.count("|") >= 2 or (len(line.text) > _LONG_CELLS and not _ENDINGS.search(line.text))
        ):
            found.add(number)
        if not line.marker and len(line.text) <= _SHORT_CELL and not _CLOSED.search(line.text):
            run.append(number)
            continue
        # The last short line before a list is its heading.
        cells = run[:-1] if line.marker else run
        found.update(cells if len(cells) >= _MIN_CELLS else ())
        run = []
    found.update(run if len(run) >= _MIN_CELLS else ())
    return found


def _is_open(sentence: str) -> bool:
    return sentence.count("(") > sentence.count(")") or sentence.count("[") > sentence.count("]")


def _remark_closes(sentence: str) -> bool:
    """Whether the sentence ends with a remark in parentheses that itself follows a sentence end."""
    depth = 0
    for position in range(len(sentence) - 1, -1, -1):
        depth += {")": 1, "(": -1}.get(sentence[position], 0)
        if depth == 0:
            return bool(re.search(r"[.?!]['\"’”]?\s*$", sentence[:position]))
    return False
