"""Finds where a crawl ran lines together, and breaks them again.

Works on the raw text, where non-breaking spaces still tell gaps from word spacing. Knows Korean sentence
ends and list numbers; boilerplate and links have their own modules.

A rule names positions; one inside a URL, an e-mail address or a `[menu > path]` is left alone, and inside
parentheses a glued sentence gets a space instead of a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_ALARM = re.compile(r"!\.?[ \xa0]?(주의|중요)(?:[.:]|(?=[ \xa0]))")
_LINK_ARROW = re.compile(r"(?<=가기)[ \xa0]?[>≫]|≫")
_CUT_CLAUSE = re.compile(r"(?<=[가-힣],)[ \xa0]*\n[ \n\xa0]*(?=[가-힣])")
_GAPS = re.compile(r"[ \t\xa0]{2,}")
_NBSP_WORD = re.compile(r"\xa0(?<=[^\s.?!]\xa0)(?=[^\s·※\-■▶☞①-⑳])")
_PROTECTED = re.compile(
    r"(?:https?://|www\.)[^\s가-힣<>()\[\]※]+|[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+|\[[^\[\]\n]{1,90}\]"
)
_PARENS = re.compile(r"\([^()\n]{2,300}\)")

_ENDINGS = "다요죠까오음함됨임니능"
_PARTICLE = r"(?:이?라[는고]|이란|으?로|에서?|[를을의은는와과란]|가|도)(?=[ \xa0,.]|$)"
_STOP = re.compile(r"[.?!]+[)’”\]]*|[)\]%](?=[가-힣\[A-Z])")
_GLUED_SENTENCE = re.compile(rf"(?!{_PARTICLE})[가-힣]")
_GLUED_OTHER = re.compile(
    rf"[\dA-Z\[<‘“「]|https?:|ex\)|(?P<quote>['\"])(?=[가-힣A-Z\[])(?!.{_PARTICLE})|[ ]?\xa0"
)
_LABEL_BEFORE = re.compile(r"(?:참고|주의|중요|예|No|ex|vs|(?<![가-힣])[가-하])\.$")

# By the first character of a mark: what must hold at its place for a line to begin there. Lookbehinds see
# the character before the mark; \xa0\xa0 is any gap wider than one space.
_BULLET_DASH = (
    r"-(?:(?<=[^\s\d~(\[<=\-]-)(?=[ \xa0])|(?<=\d-)(?=[ \xa0][가-힣])"
    r"|(?<=[.?!:][ ]-)(?=[ \xa0])|(?<=\xa0-)(?=[ \xa0])"
    r"|(?<=[.:?!)]-)(?=[가-힣])|(?<=\xa0\xa0-)(?=[>가-힣(\['A-Z]))"
)
_BULLET_DOT = (
    r"·(?:(?<=[^\s(\[]·)(?=[ \xa0])|(?<=[.:)\]》※?!] ·)(?=[ \xa0]?\S)|(?<=[.:\]》]·)(?=\S)|(?<=\xa0·))"
)
_EXAMPLE = (
    r"예(?:(?<=[가-힣)\].]예)시\)|(?<=[.)\]]예)\)|(?:(?<=[.?!)\]][ \xa0]예)|(?<=\xa0\xa0예))시?\)"
    r"|(?<=\xa0예)시\)|(?<=[.)\]\xa0]예)시[ \xa0]?\d\))"
)
_RULES: dict[str, re.Pattern[str]] = {
    mark: re.compile(rule)
    for marks, rule in (
        ("※", r"※"),
        ("■□▣◆◇❖", r".[ \xa0]*\S"),
        ("☞", r"☞(?! 새 창)"),
        ("▶▷●", r".(?!\s*\))(?:(?<=[^ ].)|(?<=[.?!:] .))"),
        ("·", _BULLET_DOT),
        ("-", _BULLET_DASH),
        ("ㄴ", r"ㄴ(?:(?<=\xa0\xa0ㄴ)|(?<=[가-힣.)]ㄴ)(?=[ \xa0\[]))"),
        ("└*", r".(?:(?<=\xa0\xa0.)|(?<=[가-힣.)].)(?=[ \xa0]*[가-힣h\[]))"),
        ("→", r"→(?<=\xa0\xa0→)"),
        ("(", r"\((?<=[다요죠음함][.?!]\()(?:[a-z]|\d{1,2})\)[ \xa0]?[가-힣]"),
        ("S", r"STEP\s?\d{1,2}[.:)](?<![A-Za-z]STEP...)(?<![A-Za-z]STEP..)"),
        ("C", r"C(?<=[가-힣.)]C)ase\s?\d"),
        ("[", r"\[(?<=[가-힣)]\[)[^\[\]>\n]{2,40}\][ \xa0]*(?:[·■※①\n]|-[ \xa0]|1[.)])"),
        ("단", r"단(?<=[)함음됨]단),"),
        ("<", r"<(?<=[가-힣.)>]<)[가-힣][^<>\n]{2,40}>"),
        ("예", _EXAMPLE),
        ("e", r"e(?:(?<=[.)\]]e)|(?<=[.?!)\]][ \xa0]e)|(?<=\xa0\xa0e))x\)"),
        ("온동", r"(?:온라인|동영상)으로\s배우는[^☞\n]{1,90}☞"),
        ("Q", r"Q(?<![A-Za-z\d(]Q)\d{0,2}[.)][ \xa0]?\S"),
        ("A", r"A(?<=[가-힣.?!)\]\xa0]A)\d{0,2}[.)][ \xa0]?\S"),
    )
    for mark in marks
}
_MARK = re.compile("[" + re.escape("".join(_RULES)) + "]")
_DIALOGUE = re.compile(r"Q(?<![A-Za-z]Q)\d{0,2}[.)]")
_AFTER = re.compile(rf"》(?![ \xa0]?{_PARTICLE})|새 창으로 열기\)")
_AFTER_REMARK = re.compile(rf"(?: ?\xa0[ \xa0]?)?(?!{_PARTICLE})[^\s.,)'\"]")

_LIST_NUMBER = re.compile(r"\d{1,2}[.)]|\(\d{1,2}\)|\d단계(?=\s?[:.])|[①-⑳]")
_NO_NUMBER_AFTER = re.compile(r"(?:[\d,~/\-:#a-zAQ]|\d\.[ \xa0]?|(?:[a-z]|[A-Z]{2})[ \xa0]|예시[ \xa0]?)$")
_NUMBER_TEXT = re.compile(r"(?:[ \xa0]|[가-힣\['\"‘“<(A-Z:]|STEP)(?<!\n)")
_NO_NUMBER_BEFORE = re.compile(r"\s*[~,+)]|번[ \xa0에의을]|[ \xa0]?\d{1,2}\.")
_NUMBER_OPENS = re.compile(r"(?:^|\n|[.?!]['\"’”)\]]?|[가-힣)][?!]|[》:\]]|\xa0)[ \xa0]*$")
_NUMBER_GLUED = re.compile(r"[가-힣)'\"’”%>A-Z]$")


def break_lines(text: str) -> str:
    """Returns the text with line breaks where lines were run together; other characters stay.

    Args:
        text: without zero-width characters; non-breaking spaces may still be there.
    """
    text = _LINK_ARROW.sub("》", _ALARM.sub(r"※ \1.", text))
    text = _CUT_CLAUSE.sub(" ", _GAPS.sub(_gap, text))
    if len(_NBSP_WORD.findall(text)) > text.count(" "):
        text = _NBSP_WORD.sub(" ", text)
    shielded = _spans(_PROTECTED, text)
    bracketed = _spans(_PARENS, text)
    breaks = {
        position: " " if bracketed[position] else "\n"
        for position in _sentence_breaks(text)
        if not shielded[position]
    }
    for position in (*_mark_breaks(text), *_number_breaks(text)):
        if not shielded[position] and not bracketed[position]:
            breaks[position] = "\n"
    breaks.update(_remark_breaks(text))
    for match in re.finditer(r"[가-힣](?=\[[^\[\]\n]*>)", text):
        breaks.setdefault(match.end(), " ")
    return _insert(text, breaks)


def _gap(match: re.Match[str]) -> str:
    """Wide gaps were blocks or pictures; the rest becomes one kind of gap, indents stay."""
    gap, text = match[0], match.string
    if match.start() == 0 or text[match.start() - 1] == "\n":
        return gap
    if "\t" not in gap and (len(gap) < 6 or "\xa0" not in gap):
        return "\xa0\xa0"
    return "\n\n" if len(gap) >= 9 else "\n"


def _spans(pattern: re.Pattern[str], text: str) -> bytearray:
    """Marks the inner positions of each match: breaking before its first character stays possible."""
    inside = bytearray(len(text) + 1)
    for match in pattern.finditer(text):
        width = match.end() - match.start() - 1
        inside[match.start() + 1 : match.end()] = b"\x01" * width
    return inside


def _sentence_breaks(text: str) -> Iterator[int]:
    for match in _STOP.finditer(text):
        stop, end = match[0], match.end()
        before = text[match.start() - 1 : match.start()]
        if not before or not ("가" <= before <= "힣" or before in ")]'\"’”%" or len(stop) > 1):
            continue
        if stop[0] in ")]%" or _LABEL_BEFORE.search(text, max(0, end - 4), end):
            continue
        closed = stop[-1] in ")’”]"
        if _GLUED_SENTENCE.match(text, end):
            yield end
            continue
        other = _GLUED_OTHER.match(text, end) if before in _ENDINGS or closed else None
        if other and not (other["quote"] and _closes(text, end)):
            yield end


def _closes(text: str, position: int) -> bool:
    """Whether the straight quote here ends a quotation: an odd number of them stand before it."""
    return text.count(text[position], text.rfind("\n", 0, position) + 1, position) % 2 == 1


def _remark_breaks(text: str) -> Iterator[tuple[int, str]]:
    """A remark in parentheses after a sentence stays on its line; what follows it begins a new one."""
    for match in re.finditer(r"[.?!](?=[ \xa0]{0,2}\((?!(?:\d{1,2}|[a-z])\)))", text):
        if text[match.start() - 1 : match.start()] not in _ENDINGS:
            continue
        opened = text.index("(", match.end())
        yield opened, " "
        if text[match.end()] != "(":
            yield match.end(), " "
        depth = 0
        for position in range(opened, min(opened + 400, len(text))):
            depth += {"(": 1, ")": -1}.get(text[position], 0)
            if text[position] == "\n":
                break
            if depth == 0:
                if _AFTER_REMARK.match(text, position + 1):
                    yield position + 1, "\n"
                break


def _mark_breaks(text: str) -> Iterator[int]:
    dialogue = bool(_DIALOGUE.search(text))
    for match in _MARK.finditer(text):
        mark = match[0]
        if (dialogue or mark not in "QA") and _RULES[mark].match(text, match.start()):
            yield match.start()
    yield from (match.end() for match in _AFTER.finditer(text))
    if text.count("·") > 3:
        yield from (match.end() for match in re.finditer(r"[가-힣)\d.] (?=· )", text))


def _insert(text: str, breaks: dict[int, str]) -> str:
    """Inserts the breaks, leaving out those at the start of a line."""
    pieces: list[str] = []
    last = 0
    fresh = True
    for position in sorted(breaks):
        piece = text[last:position]
        pieces.append(piece)
        last = position
        line = piece.rpartition("\n")[2]
        fresh = not line.strip() and (fresh or "\n" in piece)
        if fresh and breaks[position] == "\n":
            continue
        pieces.append(breaks[position])
        fresh = breaks[position] == "\n"
    return "".join((*pieces, text[last:]))


def _number_breaks(text: str) -> Iterator[int]:
    """Where a list number begins: after a sentence or a gap, elsewhere only where it continues a sequence.

    So decimals, dates, prices and references to a step stay where they are.
    """
    found = [found for match in _LIST_NUMBER.finditer(text) if (found := _number_at(match)) is not None]
    last: dict[str, int] = {}
    for index, (position, style, number) in enumerate(found):
        before = text[max(0, position - 6) : position]
        strong = bool(_NUMBER_OPENS.search(before))
        follows = number > 1 and number == last.get(style, 0) + 1
        starts = number == 1 and any((s, n) == (style, 2) for _, s, n in found[index + 1 : index + 30])
        if style in ("stage", "both"):
            accepted = (follows or starts) and (strong or bool(_NUMBER_GLUED.search(before)))
        elif before.rstrip()[-1:].isascii() and before.rstrip()[-1:].isalpha():
            accepted = follows
        else:
            accepted = (strong and number <= 30) or follows or (starts and not before.endswith(("(", ",")))
        if accepted:
            last[style] = number
            yield position


def _number_at(match: re.Match[str]) -> tuple[int, str, int] | None:
    """Position, style and value of a number that could open an item; None where it cannot."""
    text, start, end, mark = match.string, match.start(), match.end(), match[0]
    if not _NUMBER_TEXT.match(text, end) or _NO_NUMBER_BEFORE.match(text, end):
        return None
    if _NO_NUMBER_AFTER.search(text[max(0, start - 3) : start]):
        return None
    if "①" <= mark <= "⑳":
        return start, "circle", ord(mark) - ord("①") + 1
    digits = re.sub(r"\D", "", mark)
    style = {"(": "both", "계": "stage"}.get(mark[0] if mark[0] == "(" else mark[-1], mark[-1])
    return start, style, int(digits)
