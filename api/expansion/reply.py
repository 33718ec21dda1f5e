"""Reads and checks what a model wrote as other ways of asking for a FAQ.

Knows the shape asked for in `configs/prompts/expand.ko.md`; does not know who wrote it, nor what is
done with a reply that cannot be used.
"""

from __future__ import annotations

import re
import unicodedata

from api.providers.json_reply import json_object
from retrieval.corpus.cleaning import clean_title
from retrieval.corpus.faq import Faq

# Bounds in characters; the bundled expansions lie within 14..56 and 4..22.
NATURAL_CHARS = (8, 80)
SHORT_CHARS = (3, 40)
_HANGUL = re.compile(r"[가-힣]")
_FOREIGN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")


class BadReply(Exception):
    """The reply cannot be used; `message` says why in Korean, for the model's second attempt."""

    def __init__(self, message: str, english: str) -> None:
        self.message = message
        super().__init__(english)


def read_reply(text: str, faq: Faq) -> tuple[str, str]:
    """Returns the natural and the short query of a reply, on one line each.

    Raises:
        BadReply: no such JSON object, or a query that is no Korean question of the length asked for,
            repeats the title, or repeats the other one.
    """
    natural, short = _queries(text)
    _check("첫째 질문", natural, NATURAL_CHARS, faq)
    _check("둘째 질문", short, SHORT_CHARS, faq)
    if _letters(natural) == _letters(short):
        raise BadReply("두 질문이 같습니다", "the two queries are the same")
    return natural, short


def _queries(text: str) -> tuple[str, str]:
    queries = json_object(text).get("queries")
    if not isinstance(queries, list) or len(queries) != 2 or not all(isinstance(q, str) for q in queries):
        asked = '{"queries": ["첫째 질문", "둘째 질문"]}'
        raise BadReply(f"{asked} 모양의 JSON이 아닙니다", "no JSON object with two queries")
    natural, short = map(clean_title, queries)
    return natural, short


def _check(which: str, query: str, bounds: tuple[int, int], faq: Faq) -> None:
    least, most = bounds
    if not least <= len(query) <= most:
        raise BadReply(
            f"{which}이 {len(query)}자입니다. {least}~{most}자여야 합니다",
            f"a query has {len(query)} characters, not {least} to {most}",
        )
    letters = sum(character.isalpha() for character in query)
    hangul = len(_HANGUL.findall(query))
    if hangul < 2 or hangul * 5 < letters:
        raise BadReply(f"{which}이 한국어가 아닙니다", "a query is not Korean")
    if set(_FOREIGN.findall(query)) - set(_FOREIGN.findall(faq.question + faq.answer)):
        raise BadReply(f"{which}에 한자나 일본어가 있습니다", "a query holds Chinese or Japanese")
    if _letters(query) in (_letters(faq.question), _letters(faq.body_question)):
        raise BadReply(f"{which}이 제목과 같습니다", "a query repeats the title")


def _letters(text: str) -> str:
    """Text without case, spaces and punctuation, so that near copies compare equal."""
    return "".join(c for c in unicodedata.normalize("NFKC", text).casefold() if c.isalnum())
