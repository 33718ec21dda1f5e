"""The grammar of one line of a cleaned answer: indent, marker, text.

Shared by cleaning, which writes such lines, and quoting, which reads them. Knows no site and no FAQ.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

MarkerKind = Literal["", "bullet", "step", "note", "heading", "question", "answer"]

BULLET = "·"
_PATTERNS: tuple[tuple[MarkerKind, re.Pattern[str]], ...] = (
    ("bullet", re.compile(r"(?:[·•∙ㆍ●▶▷☞✓]|○(?!○)|[-–*](?![->*\w.,])|[-*](?=[가-힣]))")),
    ("bullet", re.compile(r"[ㄴ└](?![ㄱ-ㅎ])|→|->")),
    ("heading", re.compile(r"[■□▣◆◇❖]")),
    ("step", re.compile(r"\d{1,2}(?:\.(?![\d.,])|\)(?!\)))(?!\s*(?:\d{1,2}\.|[~,%]))")),
    ("step", re.compile(r"\(\d{1,2}\)(?=\s|[가-힣])|\(?[a-z]\)(?=\s)|[①-⑳⑴-⒇⒜-⒵ⓐ-ⓩ](?!\s*[~,+)번])")),
    ("step", re.compile(r"(?i:step) ?\d{1,2}[.:)]|\d{1,2}단계\s?[:.]")),
    ("note", re.compile(r"※(?: ?(?:참고|주의|중요)\.)?|예시 ?\d{0,2}\)|(?:예|ex)\)")),
    ("question", re.compile(r"Q\d{0,2}[.)]")),
    ("answer", re.compile(r"A\d{0,2}[.)]")),
)
# Most lines have no marker: one look at the first character saves the nine patterns.
_PLAIN = re.compile(r"[^\W\dA-Za-zㄴ예①-⑳⑴-⒇⒜-⒵ⓐ-ⓩ]|[\['\"‘“<]")
_DASHES = frozenset("-–*ㄴ└")
_TITLE_LIKE = re.compile(r"[\[<【][^\[\]<>]{1,60}[\]>】]")
HEADING_MAX = 60


@dataclass(frozen=True, slots=True)
class Line:
    """One line: `marker` is as written, empty where there is none; `indent` counts levels of two spaces."""

    indent: int
    marker: str
    kind: MarkerKind
    text: str

    @property
    def dashed(self) -> bool:
        """Whether the marker is one that usually stands below another list."""
        return self.marker in _DASHES


def parse_line(line: str) -> Line:
    """Takes one line apart; never fails."""
    body = line.lstrip()
    indent = min((len(line) - len(body)) // 2, 2)
    for kind, pattern in () if _PLAIN.match(body) else _PATTERNS:
        match = pattern.match(body)
        if match:
            return Line(indent, match[0], kind, body[match.end() :].strip())
    return Line(indent, "", "", body.strip())


def is_title(text: str) -> bool:
    """Whether a line without a marker is a bracketed heading such as `[필수 서류]`; menu paths are not."""
    return bool(_TITLE_LIKE.fullmatch(text)) and not (text.startswith("[") and ">" in text)
