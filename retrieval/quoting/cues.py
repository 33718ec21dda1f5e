"""What a question asks for, and the form an answer to it takes.

Knows Korean question forms and reads a question's words with `extract_words.py`; does not know FAQs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from retrieval.quoting.words import CASES, SAME, WEAK

Terms = tuple[str, ...]
Aim = Literal["how", "where", "when", "amount", "whether", "why", "list", "meaning"]


def _any(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(alternatives), re.IGNORECASE)


_ASKS: Mapping[Aim, re.Pattern[str]] = {
    "how": _any(
        "어떻게|어떡|어케|어뜨|방법|려면|절차|순서|하는 ?법|풀어|해결|how",
        r"고 ?싶|해야 ?(?:하|되|돼|합|할)|해야\?|안 ?(?:돼|되|됩)|오류|에러",
    ),
    "where": _any("어디|어느 ?(?:메뉴|화면|페이지)|메뉴|위치|경로|where"),
    "when": _any(
        "언제|기간|며칠|몇 ?일|몇 ?(?:개월|달|시간|분)|까지|주기|기한|시점|시각",
        "얼마나 ?(?:걸|오래)|when",
    ),
    "amount": _any(
        "얼마|몇 ?(?!일|달|시간|분|개월)|수수료|금액|요금|비용|한도|최대|최소|크기|사이즈|픽셀|용량",
        "점수|비율|제한|요율|개수|글자|how (?:many|much)|fee",
    ),
    "whether": _any(
        "(?:나요|가요|까요|까|니까|는지|은지|됨|되나|돼|되냐|하냐|있냐|없냐|있음|없음|되여|나여|대요|건가|인가"
        r"|할지|되는지|가\?)\s*(?:[?.~!]|$|문의|궁금|알려|안내)",
        r"가능|해도|\bcan (?:i|we)\b|\bdo i\b|\bis it\b",
    ),
    "why": _any("왜|이유|원인|때문|무슨 ?일|why"),
    "list": _any(
        "서류|종류|조건|기준|자격|대상|항목|요건|뭐가 ?필요|무엇이 ?필요|구분|차이|다른|각각",
        "requirement|document",
    ),
    "meaning": _any(r"무엇|뭔가요|뭐예요|뭐야|이란|란\?|뜻|의미|개념|차이|what"),
}
_TELLS: Mapping[Aim, re.Pattern[str]] = {
    "how": _any(r"해 ?주[세시]|하시면|하셔야|\[[^\]]+\] ?메뉴|클릭|선택|신청|통해|진행"),
    "where": _any(r"\[[^\]]*>[^\]]*\]|메뉴|화면|페이지|버튼|탭|영역|상단|하단"),
    "when": _any(
        r"\d+\s*(?:년|개월|월|주|일|영업일|시간|시|분|초)|영업일|익일|매월|매일|매주|당일|다음 ?날",
        "정각|말일|즉시|실시간|기한|기간",
    ),
    "amount": _any(
        r"\d[\d,.]*\s*(?:원|만|천|억|%|개|건|회|명|px|[KMG]B|자|점|배|번|종|매|장|[x×*]\s*\d|:\d)"
    ),
    "whether": _any(
        "^(?:네|아니)[,요 ]|불가|가능|수 ?있|수 ?없|없습니다|않습니다|않으|안 ?됩|됩니다",
        "필요|제한|제외|면제|의무|적용",
    ),
    "why": _any("때문|므로|경우|사유|않아|위해|인해|따라|이유|되어|(?:[었았되]|하)으?면"),
    "list": _any("서류|조건|기준|자격|대상|이상|이하|경우|증명|신고증|사본"),
    "meaning": _any("입니다|이란|의미|뜻|말합니다|서비스|기능"),
}
_SPACE = re.compile(r"\s+")


def flat(text: str) -> str:
    """The text as terms are looked up in it: lower case, without white space."""
    return _SPACE.sub("", text).lower()


@dataclass(frozen=True)
class Question:
    """A question taken apart.

    Attributes:
        text: as asked, readable without the conversation.
        terms: groups of interchangeable terms, flat; matching one of a group matches the group.
    """

    text: str
    terms: tuple[Terms, ...]

    @cached_property
    def aims(self) -> frozenset[Aim]:
        """What the question asks for; may be several or none."""
        return frozenset(aim for aim, pattern in _ASKS.items() if pattern.search(self.text))

    @cached_property
    def _flat(self) -> str:
        return flat(self.text)

    def told(self, text: str) -> frozenset[Aim]:
        """The question's aims whose form the text has."""
        return frozenset(aim for aim in self.aims if _TELLS[aim].search(text))

    def case(self, text: str) -> int:
        """1 where the text treats the case the question names, -1 where only another, else 0."""
        found, verdict = flat(text), 0
        for alternatives in CASES:
            named = {case for case in alternatives if any(word in self._flat for word in case)}
            if len(named) != 1:
                continue
            held = {case for case in alternatives if any(word in found for word in case)}
            if held and not held & named:
                return -1
            verdict = max(verdict, int(bool(held) and len(held) == 1))
        return verdict


def read_question(text: str, tokens: Sequence[str]) -> Question:
    """Takes a question apart.

    Args:
        text: the question.
        tokens: its morphemes (`KoreanTokenizer.tokens`).
    """
    groups: dict[Terms, None] = {}
    for token in tokens:
        if terms := _terms(flat(token)):
            groups[terms] = None
    return Question(text, tuple(groups))


def _terms(token: str) -> Terms:
    """The token with what may stand for it; empty where it tells nothing."""
    if token in WEAK:
        return ()
    same = {word for group in SAME if token in group for word in group if len(word) > 1}
    if same:
        return tuple(sorted(same))
    return (token,) if len(token) > 1 or token.isdigit() else ()
