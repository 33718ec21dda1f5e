"""Takes a FAQ's answer apart into units that can be quoted alone, and says what each hangs on.

Knows the structure of cleaned answers (`segments.py`) and the stock phrases of help pages; does not know
questions or scores.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby
from typing import Literal

from retrieval.corpus.segments import Segment, segments

Role = Literal["sentence", "step", "bullet", "note", "example", "heading", "table"]

_BELOW = (
    r"(?<![가-힣])(?:(?:아래|하기)(?:와|의|에|를|은|는|로|처럼|와 같은)?"
    r"|다음(?:과 같|의|과 같은| (?:내용|사항|순서|방법|표|항목|조건|기준|경우|케이스)))"
)
_OPENS = re.compile(rf"{_BELOW}[^.]{{0,110}}[다요오](?:\.|\. ?\([^()]*\))?$|[^.]{{2,}}:$")
_NAMES = re.compile(
    r"(?:방법|안내|기준|조건|사항|절차|예시|항목|내용|구분|대상|규칙|순서|종류|서류|란\?|이란|요약|목록|과정|사례)\s*$"
)
_HOLLOW_MAX = 60
_EMPTY = re.compile(
    r"(?:자세한|상세한|상세 ?내용|구체적인|더 많은|자세히)[^.]{0,60}(?:참고|확인|참조)[^.]{0,22}\.?$"
    r"|(?:아래|하단|다음|해당|관련)[^.]{0,12}(?:이미지|링크|도움말|공지사항|공지|매뉴얼|가이드|영상|캡처|URL)"
    r"[^.]{0,40}(?:참고|확인|참조|문의|보기|이동)"
    r"|^(?:안녕하세요|감사합니다|고맙습니다|불편을 드려|문의해 주셔서|이용에 불편)[^.]{0,50}\.?$"
    r"|(?:도움말|매뉴얼|가이드|공지사항)(?:을|를)? ?(?:참고|확인|참조)[^.]{0,22}\.?$"
    r"|노출되는 화면 예시|^(?:예시|참고|주의|중요)(?: ?(?:화면|이미지))?[ .:)]*$"
)
_MERGES = re.compile(r"^(?:라[고는]|이?라는|문구|메시지|메세지|얼럿|알럿|팝업|오류|에러|안내|버튼)")
_UNFINISHED = re.compile(r"(?:경우|[한할된될는은을면서고며]|시)\.$")
_EXAMPLE = re.compile(r"^(?:예시|예|ex|EX) ?[).:>]")
_TRAILING_EXAMPLE = re.compile(r"\s+(?:예시|예|ex)\)\s.*$")
_DEFINES = re.compile(
    r"(?:기능|서비스|솔루션|메뉴|프로그램|제도|영역|공간|화면|페이지|단계|도구|지표)입니다\.?$"
    r"|(?:말합니다|의미합니다|뜻합니다|운영하고 있습니다|설명합니다)\.?$"
)
_TABLE_MIN, _ITEM_MAX = 60, 280
_ENDED = re.compile(r"(?:[다요죠까오음함됨임니능][.?!]?|[.?!)\]'\"])$")
_CONNECTIVE = re.compile(
    r"^(?:또한|그리고|그 외|이 외|아울러|더불어|추가로|참고로|다만|단)[,.]?\s+|^(?:단|또한),\s*"
)
_LEANS = re.compile(
    r"^(?:\(|이 ?경우|이 ?때|따라서|즉|때문에|그러므로|그래서|그 이후|이 ?후|이를|이는|이에|이 점|이 외|이와"
    r"|위의?|그러나|하지만|그렇지|이러한|이런|해당 |만일 그|이 중|그 중|여기|동일하게|반면|그 외)"
)
_LABELLED = re.compile(r"<[^<>]{2,25}>\s*(?=\S)")
_LIST_TEXT_MAX = 24


@dataclass(frozen=True, slots=True)
class Unit:
    """A sentence, a list item with its sentences, a note, an example, a heading or a flattened table.

    Attributes:
        text: without its marker.
        role: what it is to a reader.
        index: position among the units of its answer.
        group: number of the list it belongs to, -1 outside lists.
        parent: index of the list item it stands below, or -1.
        head: index of the heading or announcing sentence it stands under, or -1.
        opens: it announces what stands below it ("아래와 같습니다") and says nothing alone.
    """

    text: str
    role: Role
    index: int
    group: int = -1
    parent: int = -1
    head: int = -1
    opens: bool = False

    @property
    def empty(self) -> bool:
        """Whether it only greets, or sends the reader elsewhere."""
        return bool(_EMPTY.search(self.text))

    @property
    def defines(self) -> bool:
        """Whether it says what something is, not what to do or what holds."""
        return self.role == "sentence" and bool(_DEFINES.search(self.text))

    @property
    def leans(self) -> bool:
        """Whether it cannot be understood without the unit before it."""
        return bool(_LEANS.match(self.text))

    @property
    def whole(self) -> bool:
        """Whether it ends as a sentence does."""
        return bool(_ENDED.search(self.text))


@lru_cache(maxsize=4096)
def split_units(answer: str) -> tuple[Unit, ...]:
    """Returns the units of a cleaned answer in reading order; an empty answer has none."""
    found: list[Unit] = []
    state = _State()
    for _, line in groupby(segments(answer), key=lambda segment: segment.item):
        parts = list(line)
        if parts[0].kind == "note" and not any(part.text for part in parts):
            state.open_notes()
            continue
        for text in _texts(parts):
            if text:
                state.above = state.place(parts[0], text, len(found))
                found.append(state.above)
    return tuple(_announce(found))


def without_connective(text: str) -> str:
    """The text without an opening `또한,` or `단,`, for where nothing stands before it."""
    return _CONNECTIVE.sub("", text)


def _texts(parts: list[Segment]) -> list[str]:
    """The sentences of a paragraph, or a list item as one text; sentences cut inside a quote are mended."""
    if parts[0].kind in ("step", "bullet"):
        text = " ".join(part.text for part in parts if part.text)
        return [_TRAILING_EXAMPLE.sub("", text)]
    texts: list[str] = []
    for part in parts:
        if texts and (_MERGES.match(part.text) or _UNFINISHED.search(texts[-1])):
            joined = re.sub(r"\.$", "", texts[-1]) if _UNFINISHED.search(texts[-1]) else texts[-1]
            texts[-1] = f"{joined} {part.text}"
        else:
            texts.append(part.text)
    return texts


class _State:
    """What the lines above say about the next one."""

    def __init__(self) -> None:
        self.head = self.opener = self.step = self.group = -1
        self.above: Unit | None = None
        self.in_example = False
        self.steps = (-1, 0)
        self.groups = 0
        self.in_notes = False
        self.items: dict[int, int] = {}

    def open_notes(self) -> None:
        self.in_notes, self.group, self.head, self.step = True, -1, -1, -1

    def place(self, first: Segment, text: str, index: int) -> Unit:
        """The unit of one text, hung on the heading, list and item above it."""
        goes_on = self.in_example and first.kind == "paragraph" and not _ENDED.search(text)
        self.in_example = bool(_EXAMPLE.match(first.marker or text)) or goes_on
        if self.in_example:
            return Unit(_EXAMPLE.sub("", text).strip(), "example", index, group=-1, head=self.head)
        match first.kind:
            case "heading" if "=" in text or "≥" in text:
                return self._paragraph(text.strip("[]"), index)
            case "heading":
                return self._heading(text, index)
            case "step" if text.endswith("?"):
                return self._heading(text, index)
            case "table":
                self.in_notes, self.group, self.step = False, -1, -1
                return Unit(text, "table", index, head=self.head)
            case "note":
                self.in_notes = False
                return Unit(text, "note", index, head=self.head)
            case "paragraph":
                return self._paragraph(text, index)
        return self._item(first, text, index)

    def _heading(self, text: str, index: int) -> Unit:
        opener, self.opener = self.opener, -1
        self.in_notes, self.group, self.step, self.head = False, -1, -1, index
        self.steps = (-1, 0)
        return Unit(text, "heading", index, head=opener)

    def _paragraph(self, text: str, index: int) -> Unit:
        if labelled := _LABELLED.match(text):
            label = Segment("", "bullet", 0, 0, 0, "")
            return self._item(label, f"{labelled[0].rstrip()} {text[labelled.end() :]}", index)
        self.in_notes, self.group, self.step = False, -1, -1
        if len(text) <= _HOLLOW_MAX and _NAMES.search(text):
            return self._heading(text, index)
        if len(text) > _TABLE_MIN and not _ENDED.search(text):
            return Unit(text, "table", index, head=self.head)
        unit = Unit(text, "sentence", index, head=self.head, opens=bool(_OPENS.search(text)))
        self.opener = index if unit.opens else -1
        if unit.opens:
            self.head = index
        return unit

    def _item(self, first: Segment, text: str, index: int) -> Unit:
        if len(text) > _ITEM_MAX:
            return Unit(text, "table", index, head=self.head)  # cells that the crawl ran into an item
        if self.in_notes and first.kind == "bullet":
            return Unit(text, "note", index)
        number = int("0" + "".join(re.findall(r"\d", first.marker))) if first.kind == "step" else 0
        if self.group < 0 and number > 1 and number == self.steps[1] + 1:
            self.group = self.steps[0]  # what stood between two steps does not end the list
        if self.group < 0:
            self.group, self.groups, self.items = self.groups, self.groups + 1, {}
            if self.above and self.above.role == "sentence":
                self.head = self.above.index
        self.in_notes = False
        parent = -1
        if first.level:
            parent = max((i for level, i in self.items.items() if level < first.level), default=-1)
        elif first.kind == "bullet":
            parent = self.step
        if first.kind == "step":
            self.step, self.steps = index, (self.group, number)
        self.items = {level: i for level, i in self.items.items() if level < first.level}
        self.items[first.level] = index
        role: Role = "step" if first.kind == "step" else "bullet"
        return Unit(text, role, index, group=self.group, parent=parent, head=self.head)


def _announce(units: list[Unit]) -> list[Unit]:
    """Takes back `opens` where nothing follows, and headings that head nothing."""
    heads = {unit.head for unit in units}
    listed = {unit.parent for unit in units}
    kept: list[Unit] = []
    for unit in units:
        if unit.opens and unit.index not in heads:
            hollow = len(unit.text) <= _HOLLOW_MAX
            unit = replace(unit, opens=False, role="heading" if hollow else unit.role)
        short = unit.role == "step" and len(unit.text) <= _LIST_TEXT_MAX and unit.index in listed
        kept.append(replace(unit, opens=True) if short and not unit.whole else unit)
    return kept
