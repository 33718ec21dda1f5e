"""Turns a crawled answer into one that can be read: the site's frame off, its lines back.

Knows the help site's boilerplate; line breaking, links and list markers have their own modules. Does not
know FAQs, ids or files.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from retrieval.corpus.line_breaks import break_lines
from retrieval.corpus.list_markers import BULLET, Line, is_title, parse_line
from retrieval.corpus.site_links import strip_links

_RATING = "위 도움말이 도움이 되었나요?"
_RELATED = "관련 도움말/키워드"
_CLOSE = "도움말 닫기"
_FRAME_WITHOUT_RATING = re.compile(rf"\n[^\S\n]*{_RELATED}[^\S\n]*\n(.*)\n[^\S\n]*{_CLOSE}\s*$", re.DOTALL)
_INVISIBLE = re.compile(r"[\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_RULE = re.compile(r"[-=_─━]{5,}")
_LISTED = ("bullet", "step", "note")
_SPACES = re.compile(r"[^\S\n]+")
_NOTE_LABEL = re.compile(r"(참고|주의|중요)\s*(?:[.:]+|-(?=\s)|$)\s*")
_TITLE_GLUED = re.compile(
    r"(\[[^\[\]>]{2,40}\])(?=[가-힣])(?!에|을|를|의|이 |이라|은|는|과|와|로|으로|란|도 |만|메뉴|버튼|탭|영역"
    r"|화면|항목|클릭|기능|내|및|보고서|가 |하|상태|페이지)"
)
# A pass only adds breaks that the former made visible; real answers settle in two, this is the brake.
_PASSES = 12


@dataclass(frozen=True, slots=True)
class CleanAnswer:
    """A readable answer and the related questions and keywords that stood below it."""

    text: str
    related: tuple[str, ...]


def clean_title(raw: str) -> str:
    """Returns a title on one line, without invisible characters."""
    return " ".join(_CONTROL.sub(" ", _INVISIBLE.sub("", raw)).split())


def clean_answer(raw: str) -> CleanAnswer:
    """Cleans an answer. Never raises, and leaves an answer that is already clean as it is.

    Args:
        raw: as crawled, with the site's frame, or plain text.

    Returns:
        Lines of text: paragraphs, `1.` steps, `· ` bullets (two spaces in front per level), `※` notes,
        `■` headings, at most one blank line between them. Texts of links are taken out, save where
        nothing else is there.
    """
    body = _readable_characters(raw)
    related: list[str] = []
    for _ in range(_PASSES):
        before = body
        body, listed = _unframe(body)
        body, linked = _one_pass(body)
        related += listed + linked
        if body == before:
            break
    kept = (clean_title(item) for item in related)
    return CleanAnswer(body, tuple(dict.fromkeys(item for item in kept if item)))


def tidy_answer(raw: str) -> CleanAnswer:
    """An answer that nobody crawled, without invisible characters and needless blanks; its lines stay."""
    lines = (line.rstrip() for line in _readable_characters(raw).replace("\xa0", " ").split("\n"))
    return CleanAnswer(re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n"), ())


def _readable_characters(raw: str) -> str:
    text = raw.replace("\r\n", "\n").replace("\r", "\n").replace("\u2028", "\n").replace("\u2029", "\n")
    text = _CONTROL.sub(" ", _INVISIBLE.sub("", text))
    return _RULE.sub("\n\n", re.sub(r"[^\S\n\t\xa0]", " ", text))


def _unframe(text: str) -> tuple[str, list[str]]:
    body, rated, frame = text.partition(_RATING)
    if not rated:
        unrated = _FRAME_WITHOUT_RATING.search(text)
        return (text[: unrated.start()], unrated[1].split("\n")) if unrated else (text, [])
    _, _, listed = frame.partition(_RELATED)
    return body, listed.partition(_CLOSE)[0].split("\n")


def _one_pass(text: str) -> tuple[str, list[str]]:
    lines: list[str] = []
    related: list[str] = []
    for line in break_lines(text).split("\n"):
        flat = _SPACES.sub(" ", line).rstrip()
        indent = len(line) - len(line.lstrip(" "))
        flat = " " * min(indent, 4) + flat.lstrip() if indent in (2, 4) else flat.lstrip()
        kept, question = strip_links(flat) if flat else ("", "")
        if question:
            related.append(question)
        if kept or not flat:
            lines += _split_title(kept)
    tidy = _layout([parse_line(line) for line in lines])
    if not tidy:
        tidy = "\n".join(filter(None, (" ".join(part.split()) for part in text.split("》"))))
    return tidy, related


def _split_title(line: str) -> list[str]:
    """Parts `[heading]text` where no particle ties the two together."""
    match = _TITLE_GLUED.match(line)
    return [match[1], line[match.end() :]] if match else [line]


def _layout(lines: list[Line]) -> str:
    """Writes the lines with one kind of bullet, levels by indent, and blank lines before headings."""
    out: list[str] = []
    pending, in_list = "", False
    for line in lines:
        if line.marker and not line.text and line.kind != "note":
            pending = pending or line.marker
            continue
        if not line.marker and not line.text:
            in_list = False
            if out and out[-1]:
                out.append("")
            continue
        if pending and not line.marker:
            line = parse_line(f"{pending} {line.text}")
        pending = ""
        if line.kind == "bullet" and len(out) > 1 and not out[-1] and parse_line(out[-2]).kind in _LISTED:
            out.pop()
        heading = line.kind in ("heading", "question") or (not line.marker and is_title(line.text))
        if heading and out and out[-1] and not out[-1].startswith("■"):
            out.append("")
        out.append(_written(line, in_list))
        in_list = _opens_list(line, in_list)
    while out and not out[-1]:
        out.pop()
    return "\n".join(out)


def _opens_list(line: Line, in_list: bool) -> bool:
    """Whether dashes that follow this line stand one level below it."""
    if line.kind == "step" or (line.kind == "bullet" and not line.dashed and line.marker not in "→->"):
        return True
    return in_list and line.kind == "bullet"


def _written(line: Line, in_list: bool) -> str:
    match line.kind:
        case "bullet" if line.marker in ("→", "->"):
            return f"→ {line.text}"
        case "bullet":
            level = max(line.indent, 1 if line.dashed and (in_list or line.marker in "ㄴ└") else 0)
            return f"{'  ' * level}{BULLET} {line.text}"
        case "note" if line.marker.startswith("※"):
            return f"※ {_labelled(line.marker[1:].strip() + ' ' + line.text)}".rstrip()
        case "heading":
            return f"■ {line.text}"
        case "":
            return line.text
        case _:
            return f"{line.marker} {line.text}".rstrip()


def _labelled(text: str) -> str:
    match = _NOTE_LABEL.match(text.strip())
    return f"{match[1]}. {text.strip()[match.end() :]}" if match else text.strip()
