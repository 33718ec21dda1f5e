"""Writes replayed conversations down as a Markdown document, in Korean.

Knows Markdown and how a turn looks to a reader; asks nobody anything.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from api.client.replay import ReplayedTurn, Scenario
from api.events import Verdict

_VERDICTS: dict[Verdict, str] = {
    "answered": "답함 (`answered`)",
    "unsure": "확실하지 않음, FAQ를 고르게 함 (`unsure`)",
    "off_topic": "범위 밖, 거절 (`off_topic`)",
    "not_found": "FAQ에 답 없음 (`not_found`)",
}
# What GitHub would take for markup: `1~3일` twice in a line would be struck out, `1)` begin a list.
_MARKUP = re.compile(r"([\\`*_~<>|])")
_LIST_MARK = re.compile(r"^(\s*)([-+#]|\d+(?=[.)]))", re.MULTILINE)


@dataclass(frozen=True)
class Setting:
    """What the replay ran on.

    Attributes:
        corpus: the FAQ, in words.
        stack: the provider and where it ran, in words.
        day: when, as an ISO date.
    """

    corpus: str
    stack: str
    day: str


Played = tuple[Scenario, Sequence[ReplayedTurn]]


def render(played: Sequence[Played], setting: Setting) -> str:
    """The whole document."""
    parts = [
        "# 데모: 실제로 나눈 대화\n\n"
        "`smartstore demo`가 `configs/demo/scenarios.yaml`의 질문을 실행 중인 챗봇에 물어 받은 그대로 적은 "
        "문서입니다. 손으로 고치지 말고 명령을 다시 실행하세요.\n\n"
        f"- FAQ: {setting.corpus}\n- 답변: {setting.stack}\n- 만든 날: {setting.day}\n"
    ]
    for number, (scenario, turns) in enumerate(played, start=1):
        parts.append(f"## {number}. {_plain(scenario.title)}\n\n{_plain(scenario.about)}\n")
        parts += [_turn(turn) for turn in turns]
    return "\n".join(parts)


def _turn(turn: ReplayedTurn) -> str:
    end = turn.end
    taken = f" (제안 {turn.taken}번을 고름)" if turn.taken else ""
    blocks = [f"### 질문{taken}: {_plain(turn.question)}"]
    facts = [f"- 판정: {_VERDICTS[end.verdict]}"]
    if turn.standalone:
        facts.append(f"- 다시 쓴 질문: {_plain(turn.standalone)}")
    blocks.append("\n".join(facts))
    blocks.append(_quote(end.answer))
    cited = [source for source in turn.sources if source.n in end.citations]
    if cited:
        listed = (f"- \\[{s.n}\\] {_plain(s.question)} (점수 {s.score:.2f})" for s in cited)
        blocks.append("출처\n\n" + "\n".join(listed))
    if turn.suggestions:
        offers = (f"{n}. {_plain(offer.text)}" for n, offer in enumerate(turn.suggestions, start=1))
        blocks.append("이어서 물을 수 있는 질문\n\n" + "\n".join(offers))
    blocks.append(_timings(turn))
    return "\n\n".join(blocks) + "\n"


def _timings(turn: ReplayedTurn) -> str:
    steps = ", ".join(f"{step} {ms:.0f}" for step, ms in turn.end.timings_ms.items())
    cached = ", 캐시에서" if turn.end.cached else ""
    inner = f"; 단계별(ms): {steps}" if steps else ""
    return f"<sub>첫 글자 {turn.first_text_ms:.0f} ms, 전체 {turn.total_ms:.0f} ms{cached}{inner}</sub>"


def _quote(answer: str) -> str:
    """The answer as a block quote that keeps its lines."""
    lines = _escaped(answer).split("\n")
    quoted = []
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        quoted.append(f"> {line}\\" if line and following else f"> {line}".rstrip())
    return "\n".join(quoted)


def _plain(text: str) -> str:
    """Text on one line that is no markup."""
    return " ".join(_MARKUP.sub(r"\\\1", text).split())


def _escaped(text: str) -> str:
    """Text in lines that is no markup, not even at the beginning of a line."""
    return _LIST_MARK.sub(_escaped_mark, _MARKUP.sub(r"\\\1", text))


def _escaped_mark(match: re.Match[str]) -> str:
    blank, mark = match.groups()
    return f"{blank}{mark}\\" if mark.isdigit() else f"{blank}\\{mark}"
