"""What the scripted server answers: turns written out by hand, in this project's own words.

Knows nothing of HTTP. A word in the question picks the script.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

LONG = """네, 만 14세 이상이라면 미성년자도 판매자로 가입할 수 있어요.[1] 다만 보호자의 동의가 필요합니다.[1]

가입은 이렇게 진행해 주세요.
1) 판매자 가입 화면에서 [개인 판매자]를 고르고 휴대폰 본인 인증을 합니다.[1]
2) 보호자(법정대리인)의 동의서를 내려받아 이름과 연락처를 적고 서명합니다.[2]
3) 아래 서류를 한 번에 올린 뒤 [심사 요청]을 누릅니다.[2]
· 보호자 동의서와 보호자 신분증 사본
· 가족관계증명서(3개월 안에 발급한 것)
· 본인 명의의 통장 사본
4) 심사는 영업일로 1~2일 걸리고, 결과는 알림으로 알려 드립니다.[1]

※ 참고. 신분증의 주민등록번호 뒷자리는 반드시 가리고 올려 주세요.[2]
※ 만 14세 미만은 보호자가 동의해도 가입할 수 없습니다.[1]"""

SHORT = "정산 대금은 구매 확정 다음 영업일에 들어와요.[1]\n※ 참고. 은행 점검 시간에는 늦어질 수 있어요."
# Characters that some readers take for the end of a line.
CUT = "첫 줄\u2028둘째\x85줄\u2029셋째[1]"
SOURCES = [
    {
        "n": 1,
        "faq_id": "aaaaaaaaaaaa",
        "question": "[가입] 미성년자도 판매자로 가입할 수 있나요?",
        "categories": ["가입"],
        "score": 0.94,
    },
    {
        "n": 2,
        "faq_id": "bbbbbbbbbbbb",
        "question": "[가입] 미성년 판매자의 가입 심사에는 어떤 서류가 필요한가요?",
        "categories": ["가입", "서류"],
        "score": 0.81,
    },
    {
        "n": 3,
        "faq_id": "cccccccccccc",
        "question": "[가입] 가입 심사는 얼마나 걸리나요?",
        "categories": ["가입"],
        "score": 0.55,
    },
]
SUGGESTIONS = [
    {
        "faq_id": "dddddddddddd",
        "question": "보호자 동의서는 어디에서 내려받나요?",
        "text": "보호자 동의서를 받는 곳을 안내해드릴까요?",
    },
    {
        "faq_id": "cccccccccccc",
        "question": "가입 심사는 얼마나 걸리나요?",
        "text": "가입 심사에 걸리는 시간이 궁금하신가요?",
    },
    {
        "faq_id": "eeeeeeeeeeee",
        "question": "개인 판매자가 사업자로 바꾸려면 어떻게 하나요?",
        "text": "나중에 사업자로 전환하는 방법을 안내해드릴까요?",
    },
]
FAQ = {
    "question": "[가입] 미성년자도 판매자로 가입할 수 있나요?",
    "answer": "만 14세 이상이면 보호자의 동의를 받아 가입할 수 있습니다.\n"
    "1) 개인 판매자를 고릅니다.\n2) 서류를 올립니다.\n"
    "· 보호자 동의서\n· 가족관계증명서\n※ 참고. 만 14세 미만은 가입할 수 없습니다. <script>alert(1)</script>",
    "categories": ["가입"],
    "related": ["가입 심사는 얼마나 걸리나요?", "가입할 때 내는 서류를 알려 주세요."],
}
MARKDOWN = """## 수수료
| 구분 | 수수료 |
|---|:---:|
| 영세 | **1.98%** [1] |
| 일반 | 3.63% [1] |

*참고*로 `settle` 메뉴를 보세요. [도움말](https://help.example/fee)에 있습니다. [1]
```
<script>alert(1)</script>
a * b * c
```
3*4*5는 곱셈입니다. [위험](javascript:alert(1))"""
REFUSAL = "저는 스마트 스토어 FAQ를 위한 챗봇입니다. 스마트 스토어에 대한 질문을 부탁드립니다."


@dataclass(frozen=True)
class Step:
    """An event, sent `wait` seconds after the one before."""

    type: str
    data: dict[str, Any]
    wait: float = 0.0


@dataclass(frozen=True)
class Script:
    """The steps of a turn, and the faults on the way.

    Attributes:
        steps: after `turn.started`.
        cut_after: the number of the event after which each connection breaks, the first `cuts` times.
        problem: a status and a problem body in place of the stream.
    """

    steps: tuple[Step, ...] = ()
    cut_after: int = 0
    cuts: int = 0
    problem: tuple[int, dict[str, Any]] | None = None


def deltas(text: str, wait: float, size: int = 3) -> tuple[Step, ...]:
    """The text in pieces of `size` characters."""
    return tuple(Step("delta", {"text": text[i : i + size]}, wait) for i in range(0, len(text), size))


def completed(answer: str, verdict: str = "answered", citations: tuple[int, ...] = (1, 2)) -> Step:
    """The closing event of an answer."""
    return Step(
        "turn.completed", {"answer": answer, "verdict": verdict, "citations": citations, "stopped": False}
    )


def answered(text: str, wait: float, size: int = 3) -> tuple[Step, ...]:
    """A whole ordinary turn."""
    return (
        Step("sources", {"sources": SOURCES}, wait),
        *deltas(text, wait, size),
        Step("suggestions", {"suggestions": SUGGESTIONS}),
        completed(text, citations=(1, 2) if text == LONG else (1,)),
    )


def script_for(question: str) -> Script:
    """The script that the question names, else a quick ordinary answer."""
    refused = (
        *deltas(REFUSAL, 0.01),
        Step("suggestions", {"suggestions": SUGGESTIONS[:2]}),
        completed(REFUSAL, "off_topic", ()),
    )
    switched = (
        Step("sources", {"sources": SOURCES}),
        *deltas("지워져야 하는 글입니다. ", 0.02),
        Step("provider.switched", {"from": "vllm", "to": "extractive", "reason": "시간 초과"}, 0.3),
        *answered(SHORT, 0.01)[1:],
    )
    failed = (
        *deltas("쓰다 만 글", 0.02),
        Step(
            "error",
            {
                "code": "provider_timeout",
                "message": "답변이 늦어 멈췄습니다. 잠시 후 다시 물어봐 주세요.",
                "retryable": True,
            },
        ),
    )
    cut = Step(
        "turn.completed",
        {
            "answer": CUT,
            "verdict": "answered",
            "citations": (1,),
            "truncated": True,
            "finish_reason": "length",
        },
    )
    busy = {
        "type": "about:blank",
        "title": "Too Many Requests",
        "status": 429,
        "detail": "요청이 너무 많습니다. 10초 뒤에 다시 시도해 주세요.",
        "code": "rate_limited",
    }
    bad = {
        "type": "about:blank",
        "title": "Unprocessable",
        "status": 422,
        "detail": "질문이 비어 있습니다.",
        "code": "invalid_request",
    }
    rewritten = (
        Step("question.rewritten", {"standalone": "미성년 판매자의 가입 서류는 무엇인가요?"}),
        *answered(SHORT, 0.01),
    )
    choose = (
        *deltas("혹시 아래 질문인가요?", 0.005),
        Step("suggestions", {"suggestions": SUGGESTIONS, "kind": "choices"}),
        completed("혹시 아래 질문인가요?", "unsure", ()),
    )
    markup = "<img src=x onerror=alert(1)> **굵게** [1] [7] https://example.com/a?b=1 <b>끝</b>"
    scripts = {
        "자세히": Script(answered(LONG, 0.02, 6)),
        "천천히": Script(answered(LONG, 0.15)),
        "끊기게": Script(answered(LONG, 0.01, 12), cut_after=6, cuts=2),
        "끊긴": Script((Step("sources", {"sources": SOURCES}), *deltas(CUT, 0.01), cut)),
        "맛집": Script(refused),
        "전환": Script(switched),
        "오류": Script(failed),
        "바쁨": Script(problem=(429, busy)),
        "거절": Script(problem=(422, bad)),
        "서류": Script(rewritten),
        "모호한": Script(choose),
        "없는 답": Script(
            (*deltas("찾지 못했습니다.", 0.005), completed("찾지 못했습니다.", "not_found", ()))
        ),
        "수수료 표": Script(answered(MARKDOWN, 0.003, 5)),
        "마크업": Script(
            (Step("sources", {"sources": SOURCES}), *deltas(markup, 0.005, 1), completed(markup))
        ),
    }
    return next(
        (script for word, script in scripts.items() if word in question), Script(answered(SHORT, 0.01))
    )
