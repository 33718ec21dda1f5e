"""What the scope classifier sees of a question: how well it was found, what it says, and how it is spelt.

Knows search results and text; knows no weights, labels or sessions. Everything here is computed from one
`SearchResult`, so that a verdict costs no further search. Cosines and plain BM25 scores enter through the
ranker's calibrated probability alone: an adapter trained on the corpus raises the cosines of questions it has
seen, and BM25 grows with the corpus, so that thresholds on either would be false elsewhere.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.index.base import LEGS, Leg
from retrieval.scope.markets import OTHER_MARKET
from retrieval.search import SearchResult

BUCKETS = 1 << 13
_DEPTH = 10
_BM25_SCALE = 10.0
_SPACES = re.compile(r"\s+")
_NO_LETTERS = re.compile(r"[\W_]+")
_STORE = re.compile(
    r"스마트\s?스토어|스스|네이버\s?페이|페이|상품|판매|구매|주문|배송|발송|송장|반품|교환|환불|취소|정산|수수료|부가세|"
    r"세금계산서|리뷰|후기|쿠폰|포인트|적립|할인|옵션|재고|품절|카테고리|상세\s?페이지|썸네일|대표\s?이미지|스토어|센터|매니저|"
    r"사업자|입점|가입|심사|서류|톡톡|라이브|방송|숏클립|풀필먼트|물류|택배|손님|고객|구매자|페널티|등급|비즈월렛|월렛|대출"
)


@dataclass(frozen=True)
class ScopeInput:
    """One question as the classifier sees it.

    Attributes:
        retrieval: `(len(NAMES),)` float32, see `NAMES`.
        dense: `(dim,)` float32, the question's vector before any adapter.
        grams: indexes of the character n-grams that occur, each below `BUCKETS`, without repeats.
    """

    retrieval: NDArray[np.float32]
    dense: NDArray[np.float32]
    grams: NDArray[np.int64]


_LEXICAL: tuple[Leg, ...] = tuple(leg for leg in LEGS if leg.startswith("lexical"))
NAMES: tuple[str, ...] = (
    "score", "lexical_margin", "lexical_share", "agreement",
    "covered_first", "covered_any", "uncovered", "rare_covered", "rarest_missing", "title_alike",
    "terms", "length", "other_market", "store_words",
)  # fmt: skip


def scope_input(question: str, result: SearchResult) -> ScopeInput:
    """Describes `question` with what was found for it."""
    surely = log_odds(result.hits[0].score if result.hits else 0.0)
    values = [surely, *_leg_values(result), *_coverage(result), *_rare_coverage(result, _DEPTH)]
    values += _surface(question, result)
    return ScopeInput(
        np.asarray(values, np.float32),
        result.meaning.astype(np.float32),
        grams(question),
    )


def grams(text: str) -> NDArray[np.int64]:
    """Returns the hashed character 2- to 4-grams of `text`, sorted (CRC-32 modulo `BUCKETS`)."""
    flat = f" {_SPACES.sub(' ', text.lower()).strip()} "[:400]
    pieces = {flat[i : i + n] for n in (2, 3, 4) for i in range(len(flat) - n + 1)}
    return np.array(sorted({zlib.crc32(piece.encode()) % BUCKETS for piece in pieces}), np.int64)


def _leg_values(result: SearchResult) -> list[float]:
    hits = result.hits[:_DEPTH]
    if not hits:
        return [0.0, 0.0, 0.0]
    raw = np.array([[hit.scores[leg] for leg in _LEXICAL] for hit in hits], np.float64)
    scores = np.log1p(np.maximum(raw, 0.0) / _BM25_SCALE)
    words = scores.max(axis=1)
    margin = float(words[0] - words[1:].mean()) if len(hits) > 1 else 0.0
    share = float(words.max()) / np.log1p(max(1, len(set(result.tokens))))
    agreement = float((scores.argmax(axis=0) == 0).mean())
    return [margin, float(share), agreement]


def _coverage(result: SearchResult) -> list[float]:
    terms = {t for t in result.tokens if len(t) > 1}
    if not terms or not result.hits:
        return [0.0, 0.0, float(len(terms))]
    first = _text(result, 1)
    every = _text(result, _DEPTH)
    in_first, in_any = (sum(t in text for t in terms) for text in (first, every))
    return [in_first / len(terms), in_any / len(terms), float(np.log1p(len(terms) - in_any))]


def log_odds(p: float) -> float:
    """The logit of a probability, bounded so that 0 and 1 are no infinities."""
    p = min(max(p, 0.001), 0.999)
    return float(np.log(p / (1 - p)))


def _rare_coverage(result: SearchResult, depth: int) -> list[float]:
    """How much of what is particular in the question the first `depth` hits speak of.

    Each term counts by its rarity in the corpus: `콘택트렌즈` says more of what is asked than `판매`.
    Returns the covered share of the rarity, and the rarity of the rarest term that none of them has.
    """
    terms = {t for t in result.tokens if len(t) > 1}
    if not terms or not result.hits:
        return [0.0, 0.0]
    text = _text(result, depth)
    rarity = {t: result.rarity.get(t, 1.0) for t in terms}
    missing = [rare for t, rare in rarity.items() if t not in text]
    return [1.0 - sum(missing) / max(sum(rarity.values()), 1e-6), max(missing, default=0.0)]


def _title_alike(question: str, result: SearchResult, depth: int) -> float:
    """The best Dice coefficient of the question's character pairs with those of a title found."""
    asked = _pairs(question)
    best = 0.0
    for hit in result.hits[:depth]:
        title = _pairs(hit.faq.body_question)
        if asked and title:
            best = max(best, 2 * len(asked & title) / (len(asked) + len(title)))
    return best


def _pairs(text: str) -> set[str]:
    flat = _NO_LETTERS.sub("", text.lower())
    return {flat[i : i + 2] for i in range(len(flat) - 1)}


def _text(result: SearchResult, count: int) -> str:
    return "\n".join(f"{hit.faq.question}\n{hit.faq.answer}" for hit in result.hits[:count]).lower()


def _surface(question: str, result: SearchResult) -> list[float]:
    return [
        _title_alike(question, result, _DEPTH),
        float(np.log1p(len(set(result.tokens)))),
        float(np.log1p(len(question))) / 3.0,
        float(bool(OTHER_MARKET.search(question))),
        float(np.log1p(len(set(_STORE.findall(question))))),
    ]
