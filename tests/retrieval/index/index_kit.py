"""What the index tests share: a small corpus, and an embedder that needs no model."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from retrieval.corpus.faq import Corpus, Faq, faq_id
from retrieval.embedders.base import Embeddings
from retrieval.embedders.remembered import decoded, encoded
from retrieval.errors import EmbedderError
from retrieval.index.memory import MemoryIndex
from retrieval.index.prepare import Known, prepare
from retrieval.index.rows import IndexRows, view_texts
from retrieval.tokenizer import KoreanTokenizer


class HashingEmbedder:
    """Hashes character pairs into `dim` buckets; counts what it embeds, fails on demand.

    Attributes:
        embedded: every text embedded so far.
        fail_after: raise once that many texts were embedded.
    """

    def __init__(self, *, dim: int = 64, sparse: bool = False, version: str = "1") -> None:
        self.name, self.dim, self.sparse = f"hashing-{dim}-{version}", dim, sparse
        self.embedded: list[str] = []
        self.fail_after: int | None = None

    def embed_queries(self, texts: Sequence[str]) -> Embeddings:
        return self._embed(texts)

    def embed_passages(self, texts: Sequence[str]) -> Embeddings:
        return self._embed(texts)

    def _embed(self, texts: Sequence[str]) -> Embeddings:
        self.embedded.extend(texts)
        if self.fail_after is not None and len(self.embedded) > self.fail_after:
            raise EmbedderError("the hashing embedder was told to fail")
        pairs = [Counter(zlib.crc32(text[i : i + 2].encode()) for i in range(len(text))) for text in texts]
        dense = np.full((len(texts), self.dim), 1e-3, np.float32)
        for row, counts in enumerate(pairs):
            for code, count in counts.items():
                dense[row, code % self.dim] += count
        # As embedded texts are remembered, and stored: 8 bits a number.
        dense = decoded(encoded(dense))
        sparse = tuple({code % 9973: float(n) for code, n in counts.items()} for counts in pairs)
        return Embeddings(dense, sparse if self.sparse else None)


def faq(question: str, answer: str = "판매자센터에서 확인할 수 있습니다.") -> Faq:
    """A FAQ without categories."""
    return Faq(faq_id(question), question, answer, (), (), question)


def corpus(*faqs: Faq) -> Corpus:
    """A corpus of these FAQs."""
    return Corpus(faqs, (), Path("faq.jsonl"), "0" * 32)


SHOP = (
    faq("정산은 언제 되나요?", "구매확정 다음 영업일에 정산됩니다."),
    faq("미성년자도 판매 회원으로 가입할 수 있나요?", "만 14세 미만은 가입할 수 없습니다."),
    faq("반품 배송비는 누가 내나요?", "단순 변심이면 구매자가 냅니다."),
    faq("상품 이미지 크기는 얼마가 좋나요?", "1000x1000 픽셀을 권장합니다."),
    faq("세금계산서는 어디에서 발급하나요?", "정산 메뉴에서 발급합니다."),
)
"""Five FAQs on five subjects."""

ASKED = {
    SHOP[0].id: ("판 돈은 며칠 뒤에 들어와요?", "정산 주기"),
    SHOP[1].id: ("고등학생인데 스토어 열어도 되나요",),
    SHOP[2].id: ("왕복 택배비 부담",),
}
"""Expansions of the first three."""


def memory_index(
    faqs: Sequence[Faq], expansions: Mapping[str, Sequence[str]], embedder: HashingEmbedder
) -> MemoryIndex:
    """An index of FAQs in memory, without a store."""
    views, tokenizer = view_texts(faqs, expansions), KoreanTokenizer()
    done = prepare(views, embedder, tokenizer, Known(), lambda step, done, total: None)
    rows = IndexRows.of(views, vectors=done.vectors, tokens=done.tokens, faqs={faq.id: faq for faq in faqs})
    return MemoryIndex(rows, fingerprint="memory")
