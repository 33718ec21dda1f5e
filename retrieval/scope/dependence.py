"""Reads a question in the light of a topic: how much it leans on it, and how both are searched as one.

Knows text, search results and index queries; knows no sessions, memory or events. The dependence of a
question is a logistic regression over cues (`그럼`, `…은요?`) and over how well the bare question is found,
trained by `smartstore calibrate` on pairs of neighbouring FAQs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval.index.base import LEGS, Candidate, IndexQuery, Leg
from retrieval.ranking.ranker import Hit
from retrieval.scope.classifier import ScopeVerdict
from retrieval.scope.features import log_odds
from retrieval.search import SearchResult

CONTEXT_FILE = Path(__file__).resolve().parents[2] / "configs" / "scope" / "context.json"
FEATURES = (
    "points_back", "trails_off", "terms", "long_terms", "length",
    "lexical", "lexical_margin", "covered_title", "covered", "bare", "in_scope", "sure",
)  # fmt: skip
POINTS_BACK = re.compile(
    r"(?:^|\s)(?:그럼|그러면|그건|그거|그것|그걸|그게|그때|그런|거기|그리고|이건|이거|이걸|이게|저건|그런데|근데|만약|"
    r"그렇다면|아니면|그래도|그래서|방금|아까|그|이)(?:\s|서|에|도|는|은|$|[?,])"
)
_TRAILS_OFF = re.compile(
    r"(?:은요|는요|고요|구요|인데요|도요|면요|요 그럼|죠 그럼)\s*\??$|"
    r"^\S{1,6}(?:는|은)\s*\??$|^하(?:고|면|나)\s"
)
_TAGS = re.compile(r"^(?:[★\s]*\[[^\[\]]*\])+\s*|^[★\s]+|\s*\((?:온라인 교육 제공|[^()]*전용)\)\s*$")
_REPEAT = 4
_STEPS_BACK = 0.75
_SPOKEN_OF = 0.5
_FUSION: Mapping[Leg, float] = {
    "dense_question": 0.3,
    "dense_answer": 0.1,
    "dense_expansion": 0.3,
    "lexical_question": 0.12,
    "lexical_answer": 0.06,
    "lexical_expansion": 0.12,
}


@dataclass(frozen=True)
class DependenceGate:
    """How likely a question cannot be understood without what came before it.

    Attributes:
        coef, intercept: on the raw values of `FEATURES`.
    """

    coef: NDArray[np.float64]
    intercept: float

    @classmethod
    def load(cls, path: Path = CONTEXT_FILE) -> DependenceGate:
        """Reads what `smartstore calibrate` wrote; raises OSError, KeyError or ValueError."""
        stored = json.loads(path.read_text(encoding="utf-8"))
        return cls(np.array([float(stored["coef"][name]) for name in FEATURES]), float(stored["intercept"]))

    def dependence(self, question: str, result: SearchResult, judged: ScopeVerdict) -> float:
        """Probability in [0, 1] that `question` leans on the history.

        Args:
            question: as typed.
            result: its own search, without the history.
            judged: how it is judged by itself.
        """
        logit = float(self.coef @ dependence_features(question, result, judged)) + self.intercept
        return float(1.0 / (1.0 + np.exp(-np.clip(logit, -30, 30))))


def dependence_features(question: str, result: SearchResult, judged: ScopeVerdict) -> NDArray[np.float64]:
    """Returns `(len(FEATURES),)` values."""
    terms = {t for t in result.tokens if len(t) > 1}
    surface = [
        float(bool(POINTS_BACK.search(question))),
        float(bool(_TRAILS_OFF.search(question))),
        np.log1p(len(set(result.tokens))),
        np.log1p(len(terms)),
        np.log1p(len(question)),
    ]
    p = judged.probabilities
    alone = [log_odds(p["bare"]), log_odds(p["in_scope"]), log_odds(judged.sure)]
    if not result.hits:
        return np.array([*surface, 0.0, 0.0, 0.0, 0.0, *alone])
    legs = np.array([[hit.scores[leg] for leg in LEGS] for hit in result.hits[:10]])
    words = legs[:, 3:].max(axis=1)
    title = result.hits[0].faq.question.lower()
    text = f"{title} {result.hits[0].faq.answer.lower()}"
    found = [
        np.log1p(words.max()),
        np.log1p(max(0.0, float(words[0] - np.median(words)))),
        float(sum(t in title for t in terms)),
        sum(t in text for t in terms) / (len(terms) + 1),
    ]
    return np.array([*surface, *found, *alone])


def mixed_query(question: IndexQuery, topic: IndexQuery, *, dense: float, lexical: float) -> IndexQuery:
    """One query for a question and its topic.

    Args:
        question: what was asked; its terms are repeated `_REPEAT` times, see `undo_repeats`.
        topic: what was talked about.
        dense: weight of the topic's vector against the question's.
        lexical: weight of the topic's terms against the question's, in steps of 1 / `_REPEAT`.
    """
    vector = question.dense + np.float32(dense) * topic.dense
    vector = (vector / max(float(np.linalg.norm(vector)), 1e-9)).astype(np.float32)
    repeats = max(1, round(lexical * _REPEAT))
    new = tuple(t for t in topic.tokens if t not in question.tokens)
    sparse = None
    if question.sparse is not None and topic.sparse is not None:
        sparse = {t: w * lexical for t, w in topic.sparse.items()} | dict(question.sparse)
        return IndexQuery(question.text, vector, question.tokens + new, sparse)
    return IndexQuery(question.text, vector, question.tokens * _REPEAT + new * repeats, sparse)


def undo_repeats(query: IndexQuery, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Brings the lexical scores of a mixed query back to the scale of a plain one."""
    if query.sparse is not None:
        return list(candidates)
    return [
        replace(
            c, scores={leg: s / _REPEAT if leg.startswith("lexical") else s for leg, s in c.scores.items()}
        )
        for c in candidates
    ]


def rank_in_context(candidates: Sequence[Candidate], *, before: str, asked: Sequence[str]) -> list[Hit]:
    """Ranks what a mixed query found, best first.

    A weighted sum of legs, each spread over the candidates: the trained ranker knows only plain questions
    and takes the mixed one for the title it contains. The FAQ just answered (its id is `before`) steps
    back, for it is seldom asked again, unless its answer speaks of half of the terms `asked` now: an
    answer says more than one turn shows.
    """
    if not candidates:
        return []
    legs = np.array([[c.scores[leg] for leg in LEGS] for c in candidates], np.float64)
    low, span = legs.min(axis=0), np.ptp(legs, axis=0)
    weights = np.array([_FUSION[leg] for leg in LEGS])
    scores = ((legs - low) / np.where(span > 0, span, 1.0)) @ weights
    back = [c.faq.id == before and _covered(asked, c.faq.answer) < _SPOKEN_OF for c in candidates]
    scores *= np.where(back, _STEPS_BACK, 1.0)
    order = sorted(range(len(candidates)), key=lambda n: (-scores[n], candidates[n].faq.id))
    return [Hit(candidates[n].faq, float(scores[n]), candidates[n].scores) for n in order]


def _covered(asked: Sequence[str], answer: str) -> float:
    """The share of the terms longer than one character that the answer contains."""
    terms = {term for term in asked if len(term) > 1}
    text = answer.lower()
    return sum(term in text for term in terms) / len(terms) if terms else 0.0


def topic_of(title: str) -> str:
    """A FAQ's title as a short topic: its tag if it has one, and the phrase before the question's verb."""
    tags = re.findall(r"\[([^\[\]]+)\]", title[:60]) if title.lstrip("★ ").startswith("[") else []
    body = _TAGS.sub("", _TAGS.sub("", title)).strip(" ?.!")
    words = body.split()
    while len(words) > 1 and _VERBAL.search(words[-1]):
        words.pop()
    if len(words) > 2 and words[-1] == "수":  # `가입할 수 (있나요)`
        words.pop()
        words[-1] = re.sub(r"(?<=..)[할될]$", "", words[-1])
    phrase = " ".join(words[:6])
    phrase = re.sub(r"(?:은|는|이|가|을|를|에|의|로|으로|도)$", "", phrase) if len(phrase) > 3 else phrase
    tag = tags[0].strip() if tags else ""
    return phrase if not tag or tag in phrase else f"{tag} {phrase}"


_VERBAL = re.compile(
    r"(?:나요|까요|인가요|은가요|는가요|ㄴ가요|가요|세요|습니다|합니다|됩니다|주세요|싶어요|어요|아요|해요|돼요|되요|네요|대요|"
    r"건가요|무엇|어떻게|언제|어디|어디서|어디에|왜|누가|뭔가요|얼마|얼마나|몇|어떤|궁금|있는|없는|하는|되는|해야|그런)"
    r"(?:요|까|가|서|에|에서|는|은|을|를)?$"
)


_INFLECTED = re.compile(
    r"(?:는|은|을|를|에|의|으로|로|과|와|만|게|적|까지|보다|부터|에서|되지|하지|고|면|데|어|아|요|다|할|될|한|된|하|되|받|있|없|않|인|란|도)$|[?!:,]"
)
_OPEN_END = re.compile(r"(?:때|시|수|것|이전|이후|경우|대상|무엇|얼마|다시)$")


def is_noun_phrase(topic: str) -> bool:
    """True for a short compound of nouns, which `compose` can put before a question as readable Korean."""
    words = topic.split()
    if not 1 <= len(words) <= 6 or _OPEN_END.search(words[-1]):
        return False
    return not any(_INFLECTED.search(word) or _VERBAL.search(word) for word in words)


def compose(topic: str, question: str) -> str:
    """A follow-up as it reads by itself: `고객등급 쿠폰에 대해: 언제까지 쓸 수 있나요?`."""
    rest = re.sub(
        r"^(?:그럼|그러면|그리고|그런데|근데|그렇다면|그래서|그건|그거|그게|이건|이거)[,\s]+",
        "",
        question.strip(),
    )
    return f"{topic}에 대해: {rest or question.strip()}" if topic else question
