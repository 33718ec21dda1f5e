"""Takes a line apart into its sentences. Knows Korean sentence ends; does not know list markers or FAQs."""

from __future__ import annotations

import re
from collections.abc import Iterator

_SENTENCE_END = re.compile(
    r"(?<=[가-힣\d)\]'\"’”%」A-Za-z])[.?!]+[)\]」]*(?=\s)(?!\s+\()"
    r"|(?<=[.?!]\))(?=\s+[^\s(])|(?<=\w\))(?=\s+[가-힣A-Z\[])"
)
_ABBREVIATION = re.compile(r"(?:^|[\s(])(?:No|vs|ex|Case \d+|예|참고|주의|중요|[가-하]|[A-Za-z]|\d{1,4})\.$")


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
