"""The answers that are always the same, and how one of them is recognised in what a model says.

Knows the sentences and which verdict each stands for; does not know questions or events.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from retrieval.prompt import NOT_FOUND, REFUSAL
from retrieval.quoting.citations import CITATION, strip_citations
from retrieval.scope.classifier import ScopeLabel
from retrieval.scope.intents import Intent

UNSURE: Final = "딱 맞는 답인지 확실하지 않은데, 혹시 찾으시는 질문이 이 가운데 있나요?"
GREETING: Final = "안녕하세요! 스마트스토어에 대해 궁금한 점을 편하게 물어보세요."
THANKS: Final = "도움이 되었다니 다행입니다. 더 궁금한 점이 있으면 언제든지 물어보세요."
PERSON: Final = (
    "저는 FAQ로 답하는 챗봇이라 상담원을 직접 연결해 드리지 못합니다. "
    "궁금한 내용을 적어 주시면 FAQ에서 찾아보겠습니다."
)
_OF_VERDICT: dict[ScopeLabel, str] = {"unsure": UNSURE, "not_found": NOT_FOUND, "off_topic": REFUSAL}
_OF_INTENT: dict[Intent, str] = {"greeting": GREETING, "thanks": THANKS, "person": PERSON}
FIXED_ANSWERS: Final = frozenset((*_OF_VERDICT.values(), *_OF_INTENT.values()))
_MARKS = re.compile(r"[\W_]+")


def fixed_text(verdict: ScopeLabel, intent: Intent) -> str:
    """The whole answer where no provider writes one."""
    return _OF_INTENT.get(intent) or _OF_VERDICT[verdict]


def _key(text: str) -> str:
    return _MARKS.sub("", strip_citations(text))


_VERDICTS: dict[str, tuple[ScopeLabel, str]] = {
    _key(REFUSAL): ("off_topic", REFUSAL),
    _key(NOT_FOUND): ("not_found", NOT_FOUND),
}


class FixedSentence:
    """Holds an answer's beginning back while it may be the refusal or the not-found sentence.

    Models put it in quotes, break its lines or cite passages behind it; said in whatever form, it is the
    verdict, and what follows it without a citation of its own is not shown. An ordinary answer is let go
    with its first letters. The title of a passage with nothing behind it is no answer either: `unsure`.

    Attributes:
        verdict: of the sentence, once `flush` has found that it was said; else None.
        title_only: the answer was one of the titles.

    Args:
        titles: of the passages that the answer may be of.
    """

    def __init__(self, titles: Iterable[str] = ()) -> None:
        self.verdict: ScopeLabel | None = None
        self.title_only = False
        self._titles = frozenset(_key(title) for title in titles) - {""}
        self._held: str | None = ""

    def feed(self, text: str) -> str:
        """Takes the next piece and returns what can be shown now (possibly nothing)."""
        if self._held is None:
            return text
        self._held += text
        if any(_may_be(self._held, sentence) for sentence in _VERDICTS):
            return ""
        if any(title.startswith(_key(self._held)) for title in self._titles):
            return ""
        released, self._held = self._held, None
        return released

    def flush(self) -> str:
        """What is shown at the end of the answer: the sentence in its exact words, or what was held."""
        held, self._held = self._held or "", None
        for sentence, (verdict, text) in _VERDICTS.items():
            if _key(held).startswith(sentence):
                self.verdict = verdict
                return text
        if _key(held) in self._titles:
            self.verdict, self.title_only = "unsure", True
            return UNSURE
        return held


def _may_be(held: str, sentence: str) -> bool:
    """True while `held` begins like `sentence`, or goes on after it without citing anything."""
    said = _key(held)
    if not said.startswith(sentence):
        return sentence.startswith(said)
    return not any(len(_key(held[: match.start()])) > len(sentence) for match in CITATION.finditer(held))
