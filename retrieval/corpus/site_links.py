"""Takes out what were links on the help site: their addresses are gone, so their texts lead nowhere.

Knows how the site wrote links (`… 바로가기》`, `…(☞ 새 창으로 열기)`); works on one line at a time.
"""

from __future__ import annotations

import re

from retrieval.corpus.list_markers import parse_line

_ACTION = (
    r"(?:(?:바로|보러|하러|살펴보러|확인하러|신청하러|이동하러|알아보러)\s?가기|확인하기|살펴\s?보기|알아\s?보기"
    r"|도움말\s?보기|보기|다운로드|다운받기|신청하기|이동하기|자세히\s?보기|클릭|전체보기)(?:\s?\([^()]*\))?"
)
_INLINE = re.compile(rf"\s*\([^()]*{_ACTION}\s*[▶》>]*\s*\)|\s*\([^()]*{_ACTION}\s*[▶》]\s*")
_TAIL = re.compile(r"\s*(?:》|\(\s*☞[^()]*\))\s*$")
_ENDS_WITH_ACTION = re.compile(rf"\s*{_ACTION}\s*$")
_GO = re.compile(r"\s*(?:바로|보러)\s?가기(?:\s?\([^()]*\))?\s*$")
_CUT = re.compile(r"(?:[.?!]['\"’”)]?|(?<=[가-힣])\s?:)\s+(?=[^.?!:]*$)|(?<=[.?!])(?=[^.?!:]+$)")
_GLUED = re.compile(
    r"(?:(?<=\))|(?<=\d부))(?!(?:은|는|이|가|을|를|에|의|로|으로|와|과|도|인)\s)(?=[가-힣][^.?!:()]*$)"
)
_LESSON = re.compile(r"^(?:온라인|동영상)으로\s?배우는")
_QUESTION = re.compile(r"(?:나요|까요|가요|은요|인지|란)\?$|\?$")
_SEE_ALSO = re.compile(r"^(?:연관|관련)\s?도움말\s?:?\s*")
_LONGEST = 70


def strip_links(line: str) -> tuple[str, str]:
    """Takes the link out of a line.

    Returns:
        What is left of the line (empty: it was only a link) and, where the link was the title of
        another question, that question, else an empty string.
    """
    parsed = parse_line(line)
    text = _INLINE.sub("", parsed.text) if "가기" in parsed.text or "보기" in parsed.text else parsed.text
    prefix = f"{'  ' * parsed.indent}{parsed.marker} " if parsed.marker else ""
    tail = _TAIL.search(text)
    if "《" in text or (tail is None and parsed.marker not in ("▶", "▷", "☞")):
        return (line if text == parsed.text else prefix + text), ""
    listed = parsed.kind in ("bullet", "step", "heading") and parsed.marker not in ("▶", "▷", "☞")
    if tail is None:
        is_link = _ENDS_WITH_ACTION.search(text) or (
            parsed.marker == "☞" and len(text) < 50 and not re.search(r"[:.?!]", text)
        )
        return ("" if is_link else prefix + text), ""
    text = text[: tail.start()]
    if _LESSON.match(text):
        return "", ""
    cut = _CUT.search(text) or (_GLUED.search(text) if listed else None)  # `동의서 1부 (기재)동의서 다운로드`
    if cut is None:
        return _whole_link(text, prefix, listed)
    head = text[: cut.end()].strip()
    if _QUESTION.search(head) and not re.search(r"[.!]\s", head) and not listed:
        return "", head
    return prefix + head.removesuffix(":").rstrip(), ""


def _whole_link(text: str, prefix: str, listed: bool) -> tuple[str, str]:
    if _QUESTION.search(text):
        return "", _SEE_ALSO.sub("", text)
    if listed:
        name = _GO.sub("", text)
        return ("" if name == text and _ENDS_WITH_ACTION.search(text) else prefix + name), ""
    if len(text) > _LONGEST:
        return prefix + _ENDS_WITH_ACTION.sub("", text), ""
    return "", ""
