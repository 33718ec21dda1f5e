"""Which language a question is in, and what is said where only Korean is understood.

Tells by scripts, and English by its commonest words; knows no provider and no search.
"""

from __future__ import annotations

import re
from typing import Literal

Language = Literal["ko", "en", "ja", "zh", "other"]

_HANGUL = re.compile(r"[가-힣ㄱ-ㅎㅏ-ㅣ]")
_KANA = re.compile(r"[\u3041-\u3096\u30a1-\u30fa]")
_HAN = re.compile(r"[\u3400-\u9fff]")
_LATIN = re.compile(r"[A-Za-zÀ-ɏ]+")
_ELSEWHERE = re.compile(r"[\u0370-\u1fff\u0900-\u0dff]")
_ENGLISH = frozenset(
    re.findall(
        r"\w+",
        "a an and are can do does for from how i if in is it my no not of on or our should that the there "
        "this to was we what when where which who why will with you your",
    )
)
# Sellers name things in Latin letters (`SEO API`); a sentence has more words, or words of its grammar.
_FEW_WORDS, _SENTENCE = 3, 5

_NOTICES: dict[Language, str] = {
    "en": "I answer questions about running a Naver Smartstore from its FAQ, and I understand Korean only. "
    "Please ask your question in Korean (한국어로 질문해 주세요).",
    "ja": "ネイバー・スマートストアの運営について、FAQをもとに韓国語のご質問にお答えしています。"
    "恐れ入りますが、韓国語でご質問ください（한국어로 질문해 주세요）。",
    "zh": "我根据常见问题解答有关Naver Smartstore店铺运营的问题，目前只能理解韩语。"
    "请用韩语提问（한국어로 질문해 주세요）。",
}


def language_of(text: str) -> Language:
    """The language of a question; Korean wherever there is Hangul, or too little to tell."""
    if holds_korean(text):
        return "ko"
    if _KANA.search(text):
        return "ja"
    if _HAN.search(text):
        return "zh"
    words = [word.lower() for word in _LATIN.findall(text)]
    if len(words) >= _FEW_WORDS and not _ENGLISH.isdisjoint(words):
        return "en"
    if len(words) >= _SENTENCE or len(_ELSEWHERE.findall(text)) >= _SENTENCE:
        return "other"
    return "ko"


def holds_korean(text: str) -> bool:
    """Whether there is any Hangul in the text."""
    return _HANGUL.search(text) is not None


def notice(language: Language) -> str:
    """What a question in this language is told: in English where it is neither Japanese nor Chinese."""
    return _NOTICES.get(language, _NOTICES["en"])
