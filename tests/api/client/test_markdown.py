"""An answer's Markdown on a terminal: what stands on the screen in the end, and what goes into a pipe."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from api.client.markdown import MarkdownStream, blocks

ANSWER = """**반품 배송비**는 사유에 따라 다릅니다 [1].
단순 변심이면 *구매자*가 냅니다.

1. [판매관리 > 반품관리]를 엽니다 [1].
2. `수거 완료`를 누릅니다.

| 사유 | 부담 |
|---|---|
| 변심 | 구매자 |
| 하자 | 판매자 |

```text
a  =  1
```

[안내](https://help.sell.smartstore.naver.com/faq) 참고, <b>굵게</b>가 아닙니다.

[1]: 반품안내"""


def screen_of(output: str, *, height: int = 40) -> str:
    """What a terminal and its scrollback hold after `output`; the cursor never goes above the screen."""
    lines, row, column = [""], 0, 0
    for token in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\n|\r|[^\x1b\n\r]+", output):
        if token == "\n":
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        elif token == "\r":
            column = 0
        elif token.startswith("\x1b"):
            if token.endswith("A"):
                row = max(0, len(lines) - height, row - int(token[2:-1] or 1))
            elif token == "\x1b[2K":
                lines[row] = ""
        else:
            lines[row] = lines[row][:column].ljust(column) + token + lines[row][column + len(token) :]
            column += len(token)
    return "\n".join(line.rstrip() for line in lines)


def _streamed(answer: str, *, size: int, height: int = 40) -> str:
    output = io.StringIO()
    stream = MarkdownStream(Console(file=output, force_terminal=True, width=60, height=height))
    for at in range(0, len(answer), size):
        stream.feed(answer[at : at + size])
    stream.close()
    return screen_of(output.getvalue(), height=height)


def test_answer_is_laid_out() -> None:
    screen = _streamed(ANSWER, size=5)
    assert "반품 배송비는 사유에 따라 다릅니다 [1].\n단순 변심이면 구매자가 냅니다." in screen
    assert "1 [판매관리 > 반품관리]를 엽니다 [1]." in screen
    assert re.search(r"변심\s+구매자\n\s*하자\s+판매자", screen)
    assert "a  =  1" in screen
    assert not re.search(r"\*|`|\|", screen)


def test_nothing_of_an_answer_vanishes_or_hides_where_it_leads() -> None:
    screen = _streamed(ANSWER, size=5)
    assert "안내 (https://help.sell.smartstore.naver.com/faq)" in screen
    assert "<b>굵게</b>" in screen
    assert "[1]: 반품안내" in screen


@pytest.mark.parametrize(("size", "height"), [(1, 40), (7, 40), (10_000, 40), (3, 5)])
def test_screen_does_not_depend_on_the_pieces_or_on_its_height(size: int, height: int) -> None:
    items = "\n".join(f"- {n}번째 항목" for n in range(30))
    answer = f"{ANSWER}\n\n{items}"
    assert _streamed(answer, size=size, height=height) == _streamed(answer, size=11)


def test_void_answer_leaves_nothing_and_another_begins() -> None:
    output = io.StringIO()
    stream = MarkdownStream(Console(file=output, force_terminal=True, width=60))
    stream.feed("처음 **답")
    stream.close(void=True)
    stream.feed("다음 **답**")
    stream.close()
    assert screen_of(output.getvalue()).strip() == "다음 답"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [""]),
        ("하나.\n\n둘", ["하나.\n\n", "둘"]),
        ("하나.\n- 둘\n- 셋\n\n넷", ["하나.\n", "- 둘\n- 셋\n\n", "넷"]),
        ("```\n하나\n\n둘", ["```\n하나\n\n둘"]),
    ],
)
def test_text_is_cut_between_blocks(text: str, expected: list[str]) -> None:
    assert blocks(text) == expected
