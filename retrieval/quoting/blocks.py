"""Takes a cleaned answer apart into blocks: what a reader needs together, and never only in part.

A block is a sentence with those that lean on it, a sentence with the list that it announces, a list with
the warnings among its items, a table, or one remark. Knows the lines that cleaning writes
(`retrieval/corpus/list_markers.py`) and the phrases of Korean help pages; does not know questions.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from textwrap import wrap
from typing import Literal

from retrieval.corpus.list_markers import HEADING_MAX, Line, is_title, parse_line
from retrieval.corpus.sentences import split_sentences

Role = Literal["text", "list", "remark", "table"]

# Nouns that stand for a list; `다음 날` and `이 두 가지` announce nothing.
_LISTED = (
    "내용|사항|순서|방법|방식|표|항목|조건|기준|경우|서류|절차|사유|이유|케이스|경로|해당|종류|유형|형태|단계"
)
_COUNT = rf"(?<![~\d이위])(?<!이 |위 )(\d{{1,2}}|[두세네]|다섯|여섯) ?가지(?:의|로)? ?(?:{_LISTED})"
_NUMBERS = {"두": 2, "세": 3, "네": 4, "다섯": 5, "여섯": 6}
ANNOUNCES = re.compile(
    r"(?<![가-힣])(?:아래|다음|하기)(?:(?:와|과) ?같|(?:의|에|를|을|은|는|에서)? ?"
    rf"(?:각 |중 |\S{{1,3}} ?(?:가지|개)의? ?)?(?:{_LISTED}))|{_COUNT}|:$"
)
# A sentence whose only matter is a picture, a link or a page that is not here, or a greeting.
_THINGS = (
    r"(?:이미지|그림|캡[처쳐]|링크|도움말|공지사항|가이드|[매메]뉴얼|영상|URL|사이트|(?:보러|바로) ?가기)"
)
_POINTS = re.compile(
    rf"(?:(?<![가-힣] )(?:아래|하단|위|상단|다음)|관련|자세한|상세|구체적인|더 많은)[^.'\"]{{0,45}}{_THINGS}"
    r"[^.]{0,30}(?:참고|확인|참조|클릭|이용|문의|부탁|이동|보기)[^.]{0,25}\.?$"
    r"|(?<!')(?:도움말|매뉴얼|가이드)(?:을|를)? ?(?:참고|참조)[^.]{0,22}\.?$"
    r"|^(?:안녕하세요|감사합니다|고맙습니다)[^.]{0,50}\.?$"
    r"|노출되는 화면 예시|^(?:예시|참고|주의|중요)?[ )]*(?:화면|이미지)?(?: ?예시)?[ .:)]*$"
)
_PICTURED = re.compile(
    r"\s*\((?:하단|아래|위|상단)의? ?(?:이미지|그림|캡처|화면)[^()]{0,12}\)"
    r"|(?:위|아래|하단|상단)의? ?(?:이미지|그림|캡처 ?화면)(?:에 따라|와 같이|처럼|[을를] 참고하여),? ?"
)
_LEANS = re.compile(
    r"단,|다만|이 ?경우|이 ?때|따라서|즉,|때문에|그러므로|그래서|이를|이는|이에|이와|그러나|하지만|이러한|"
    r"이런|만일,|이 중|그 중|또는|만일 그|예를 들어|\(|→|[a-z가-힣]{1,12}(?:라는|라고) (?:문구|메시지|안내)"
)
_NAMES = "방법|안내|기준|조건|사항|절차|예시|항목|내용|구분|대상|규칙|순서|종류|서류|요약|목록|과정|사례|위치"
_TITLE = re.compile(rf"(?:{_NAMES}|란\?)$")
# A heading that the crawl ran into the sentence below it: what follows is no particle and no ending.
_GLUED = re.compile(
    rf"^((?:[^.?!:,·※]{{2,36}} )?(?:[가-힣/]{{0,10}}(?:{_NAMES}|란\?)))(?=[가-힣'\[])(?!\[[^\]]*>|은|는"
    r"|이|가|을|를|에|의|로|으로|과|와|도|만|별|및|대로|등|상|란|인|일|입|중|시|내|들|하|한|할|해|되|된|될|됩|없|있|안|못|부"
    r"|까지|마다|보다|요|적|서|당)"
)
_CLOSED = re.compile(r"[.?!:]['\"’”)\]]*$|[다요죠까음함됨임]$")
# One sentence a line is usual; an unmarked line above this length is a run-on and falls into its sentences.
_LINE_MAX = 160
# Where the crawl lost every line of a table, its words are parted so that an answer can hold some of them.
_RUN_MAX = 600
# An item of a list that lost its mark is shorter; a longer line without an end is a run-on of its own.
_ROW_MAX = 80


@dataclass(slots=True)
class Block:
    """What is shown together or not at all.

    Attributes:
        head: the heading that governs it, empty where there is none.
        role: what it is to a reader.
        lines: with their markers; a lead-in comes first, items of a lower level are indented.
        governs: how many of the blocks after it, under other headings, its last sentence announces.
    """

    head: str
    role: Role
    lines: list[str] = field(default_factory=list)
    governs: int = 0

    @property
    def text(self) -> str:
        """The lines with the heading above them."""
        return "\n".join(([self.head] if self.head else []) + self.lines)

    @property
    def open(self) -> bool:
        """Whether something that it announces does not stand in it."""
        return missing_items(self.lines) > 0


def missing_items(lines: Sequence[str]) -> int:
    """How many lines are still to come after the last line that announces some."""
    for after, line in enumerate(reversed(lines)):
        if ANNOUNCES.search(line):
            count = re.search(_COUNT, line)
            return max(0, (_NUMBERS.get(count[1]) or int(count[1]) if count else 1) - after)
    return 0


@lru_cache(maxsize=2048)
def split_blocks(answer: str) -> tuple[Block, ...]:
    """Returns the blocks of a cleaned answer in reading order; an empty text has none."""
    reader = _Reader()
    lines = [parse_line(text) for text in _lines(answer)]
    for number, line in enumerate(lines):
        reader.read(line, lines[number + 1 :])
    if not reader.blocks and answer.strip():  # it only points elsewhere, or is a heading
        return (Block("", "text", [line.strip() for line in answer.split("\n") if line.strip()]),)
    for index, block in enumerate(reader.blocks):
        if block.open:
            ahead = [one.head != block.head for one in reader.blocks[index + 1 :]]
            block.governs = ahead.index(False) if False in ahead else len(ahead)
    return tuple(reader.blocks)


def _lines(answer: str) -> Iterator[str]:
    """The lines without what points at things that are not there; glued headings and run-ons parted."""
    for raw in answer.split("\n"):
        parsed = parse_line(_PICTURED.sub("", raw))
        start = f"{'  ' * parsed.indent}{parsed.marker} " if parsed.marker else ""
        if glued := _GLUED.match(parsed.text):
            yield start + glued[1]
            parsed, start = replace(parsed, text=parsed.text[glued.end() :]), ""
        sentences = [one for one in split_sentences(parsed.text) if not _POINTS.search(one)]
        if start or len(parsed.text) <= _LINE_MAX:
            sentences = [start + " ".join(sentences)] if sentences or not parsed.text else []
        for sentence in filter(None, sentences):
            yield from (
                wrap(sentence, _RUN_MAX, drop_whitespace=False) if len(sentence) > _RUN_MAX else [sentence]
            )


class _Reader:
    """Puts each line to the block that it belongs to."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self._head = ""
        self._label = ""  # `※ 참고.` or `※ 주의.` alone on a line rules the bullets below it

    def read(self, line: Line, rest: Sequence[Line]) -> None:
        """Takes the next line; `rest` are those after it."""
        block = self.blocks[-1] if self.blocks and self.blocks[-1].head == self._head else None
        text = f"{line.marker} {line.text}".strip()
        if _is_heading(line, rest):
            self._head, self._label = (line.text if line.kind != "question" else text).strip("[]<>■ :"), ""
        elif line.marker.startswith("※"):
            self._label = "" if line.text else line.marker
            if line.text:
                self._note(text, block, line.marker)
        elif self._label and line.kind == "bullet" and not line.indent:
            self._note(f"※ {line.text}", block, self._label)
        elif line.kind in ("bullet", "step", "heading"):
            self._item(line, block)
        elif block and (line.kind == "note" or self._belongs(line, block, rest)):
            block.lines.append(text)
        else:
            self._label = ""
            self.blocks.append(Block(self._head, "table" if _is_row(line) else "text", [text]))

    def _note(self, text: str, block: Block | None, label: str) -> None:
        """A warning stays with what it warns of; a remark can be chosen alone."""
        if block and "참고" not in label and block.role != "remark":
            block.lines.append(text)
        else:
            self.blocks.append(Block(self._head, "remark", [text]))

    def _item(self, line: Line, block: Block | None) -> None:
        """An item goes to the list that it continues, else to what stands above it."""
        number = _value(line.marker) if line.kind == "step" else 0
        block = self._continued(line, number) or (None if number > 1 else block)
        if block is None or block.role == "table":
            block = Block(self._head, "list")
            self.blocks.append(block)
        styles = [_style(item) for item in _open_items(block)]
        level = max(line.indent, styles.index(_style(line)) if _style(line) in styles else len(styles))
        block.role = "list" if block.role == "text" else block.role
        block.lines.append(f"{'  ' * min(level, 2)}{line.marker.replace('■', '·')} {line.text}")

    def _continued(self, line: Line, number: int) -> Block | None:
        """The list that this item goes on with; remarks that stand between its items become part of it."""
        for index, block in reversed(list(enumerate(self.blocks))):
            items = _open_items(block)
            if block.head != self._head:
                return None
            if number > 1:
                goes_on = number in _next_numbers(block)
            else:
                remarked = index < len(self.blocks) - 1
                goes_on = block.open or (remarked and items[:1] != [] and _style(items[0]) == _style(line))
            if goes_on:
                block.lines += [text for one in self.blocks[index + 1 :] for text in one.lines]
                del self.blocks[index + 1 :]
                self._label = ""
                return block
            if number <= 1 and block.role != "remark":
                return None
        return None

    def _belongs(self, line: Line, block: Block, rest: Sequence[Line]) -> bool:
        """Whether a line without a marker goes on with the block before it."""
        if _LEANS.match(line.text) or block.open:
            return True
        if _is_row(line):
            return block.role == "table" or (block.role == "list" and len(line.text) <= _ROW_MAX)
        following = next((one for one in rest if one.kind == "step" or _is_heading(one, ())), None)
        return following is not None and _value(following.marker) in _next_numbers(block)


def _open_items(block: Block) -> list[Line]:
    """The last item of each level that the list could go on with."""
    items: list[Line] = []
    for line in map(parse_line, block.lines):
        if line.kind in ("bullet", "step"):
            items[line.indent :] = [line]
    return items


def _next_numbers(block: Block) -> set[int]:
    return {_value(item.marker) + 1 for item in _open_items(block) if item.kind == "step"}


def _style(line: Line) -> str:
    """The marker, `1.` for any such number."""
    return re.sub(r"[\d①-⑳]+", "1", line.marker.replace("■", "·"))


def _value(marker: str) -> int:
    return int(re.sub(r"\D", "", unicodedata.normalize("NFKC", marker)) or 0)


def _is_row(line: Line) -> bool:
    """Whether a line is no sentence: a cell or row of a table, or an item that lost its mark."""
    return not line.marker and not _CLOSED.search(line.text)


def _is_heading(line: Line, rest: Sequence[Line]) -> bool:
    following = rest[0] if rest else Line(0, "", "", "")
    short = len(line.text) <= HEADING_MAX and not _CLOSED.search(line.text)
    named = bool(_TITLE.search(line.text))
    match line.kind:
        case "question":
            return len(line.text) <= _LINE_MAX
        case "heading":
            return short and bool(rest) and following.kind != "heading"
        case "step":  # named like a section, with steps of its own
            nested = following.kind == "step" and _value(following.marker) == 1
            return bool(rest) and (line.text.endswith("?") or (named and nested))
        case "":
            first = following.kind == "bullet" or (following.kind == "step" and _value(following.marker) <= 1)
            return is_title(line.text) or (short and (first or named))
    return False
