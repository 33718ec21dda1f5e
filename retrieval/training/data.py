"""Queries to train a ranker on: every expansion asks for its FAQ while it is held out of the search.

Knows views, adapters and leg scores; does not fit weights. Only the corpus, its expansions and queries
written for it are read here, never an evaluation set.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval.corpus.faq import Corpus
from retrieval.embedders.adapter import Adapter
from retrieval.embedders.base import Embedder
from retrieval.index.bm25 import Bm25Statistics, Postings
from retrieval.index.prepare import Known, Progress, prepare
from retrieval.index.rows import view_texts
from retrieval.tokenizer import KoreanTokenizer
from retrieval.training.adapter import ViewVectors
from retrieval.training.vector_cache import read_known, write_known

Floats = NDArray[np.float32]
Terms = Sequence[Sequence[str]]
DEPTH = 50
MAX_EXPANSIONS = 4


@dataclass(frozen=True)
class RankedQuery:
    """One query as the ranker sees it.

    Attributes:
        legs: `(candidates, 7)` leg scores, see `features.leg_matrix`.
        relevant: `(candidates,)`, which of them answer it.
    """

    legs: NDArray[np.float64]
    relevant: NDArray[np.bool_]


@dataclass(frozen=True)
class CorpusViews:
    """Everything that training knows of a corpus.

    Attributes:
        vectors: of every view, by the base embedder.
        question_terms, answer_terms: BM25 terms per FAQ.
        expansion_terms: likewise, for each way of asking.
        given: `(k, n)`, which expansions exist; a missing one holds the question's vector and terms.
    """

    vectors: ViewVectors
    question_terms: Terms
    answer_terms: Terms
    expansion_terms: Sequence[Terms]
    given: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.question_terms)


def corpus_views(
    corpus: Corpus,
    expansions: Mapping[str, Sequence[str]],
    embedder: Embedder,
    tokenizer: KoreanTokenizer,
    *,
    cache: Path | None = None,
    progress: Progress = lambda step, done, total: None,
) -> CorpusViews:
    """Embeds and tokenises every view, taking over what the file `cache` holds, and keeps all in it.

    Raises:
        EmbedderError: texts could not be embedded.
    """
    texts = view_texts(corpus.faqs, expansions)
    done = prepare(texts, embedder, tokenizer, read_known(cache) if cache else Known(), progress)
    if cache:
        hashes = [text.text_hash for text in texts]
        kept = Known(
            dense=dict(zip(hashes, done.vectors.dense, strict=True)),
            tokens=dict(zip(hashes, done.tokens, strict=True)),
        )
        write_known(cache, kept)
    at = {text.key: n for n, text in enumerate(texts)}
    count = min(MAX_EXPANSIONS, max((len(expansions.get(f.id, ())) for f in corpus.faqs), default=0))

    def rows(name: str) -> list[int]:
        return [at.get(f"{faq.id}:{name}", at[f"{faq.id}:question0"]) for faq in corpus.faqs]

    asked = [rows(f"expansion{k}") for k in range(count)]
    dense = done.vectors.dense
    vectors = ViewVectors(
        question=dense[rows("question0")],
        answer=dense[rows("answer0")],
        expansions=dense[asked] if asked else np.zeros((0, len(corpus.faqs), dense.shape[1]), np.float32),
    )
    given = [[f"{faq.id}:expansion{k}" in at for faq in corpus.faqs] for k in range(count)]
    return CorpusViews(
        vectors,
        question_terms=[done.tokens[n] for n in rows("question0")],
        answer_terms=[done.tokens[n] for n in rows("answer0")],
        expansion_terms=[[done.tokens[n] for n in row] for row in asked],
        given=np.array(given, bool).reshape(count, -1),
    )


class TrainingSearch:
    """Searches adapted views exhaustively, with any expansion left out."""

    def __init__(self, corpus: CorpusViews, adapter: Adapter | None) -> None:
        self._corpus, self._adapter = corpus, adapter
        vectors = corpus.vectors
        self.question, self.answer = vectors.question, vectors.answer
        if adapter:
            self.question, self.answer = adapter.passages(self.question), adapter.passages(self.answer)
        self.expansions = [self.embed(dense) for dense in vectors.expansions]
        documents = [*corpus.question_terms, *corpus.answer_terms]
        for terms, given in zip(corpus.expansion_terms, corpus.given, strict=True):
            documents += [t if there else () for t, there in zip(terms, given, strict=True)]
        self._statistics = Bm25Statistics.of([d for d in documents if d])
        self._postings = Postings(self._statistics.weights(document) for document in documents)
        self._together: dict[int, Postings[str]] = {}

    def embed(self, dense: Floats) -> Floats:
        """Base vectors of questions to the vectors searched."""
        return self._adapter.queries(dense) if self._adapter else dense

    def legs(self, vector: Floats, terms: Sequence[str], *, without: int = -1) -> NDArray[np.float64]:
        """Returns `(faqs, 7)` scores; `without` is the number of the expansion left out for all FAQs."""
        given = self._corpus.given
        count = len(self._corpus)
        counts = {t: float(n) for t, n in Counter(terms).items()}
        lexical = self._postings.scores(counts).reshape(-1, count)
        if without not in self._together:
            self._together[without] = self._read_together(without)
        together = self._together[without].scores(counts)
        dense_expansion = np.full(count, -1.0)
        lexical_expansion = np.zeros(count)
        for k, expansion in enumerate(self.expansions):
            if k != without:
                scores = np.where(given[k], expansion @ vector, -1.0)
                dense_expansion = np.maximum(dense_expansion, scores)
                lexical_expansion = np.maximum(lexical_expansion, lexical[2 + k])
        columns = [self.question @ vector, self.answer @ vector, dense_expansion]
        columns += [lexical[0], lexical[1], lexical_expansion, together]
        return np.stack(columns, axis=1).astype(np.float64)

    def _read_together(self, without: int) -> Postings[str]:
        """Every FAQ's views as one text, as `MemoryIndex` reads them."""
        corpus = self._corpus
        texts = []
        for i in range(len(corpus)):
            views = [corpus.question_terms[i], corpus.answer_terms[i]]
            for k, terms in enumerate(corpus.expansion_terms):
                if k != without and corpus.given[k, i]:
                    views.append(terms[i])
            texts.append((list(chain.from_iterable(views)), len(views)))
        return Postings(self._statistics.weights(terms, rows=rows) for terms, rows in texts)


def held_out_queries(corpus: CorpusViews, search: TrainingSearch, expansion: int) -> Iterator[RankedQuery]:
    """Yields the k-th expansion of each FAQ as a query, where no FAQ has its k-th expansion."""
    vectors, terms = search.expansions[expansion], corpus.expansion_terms[expansion]
    for i in map(int, np.flatnonzero(corpus.given[expansion])):
        yield ranked_query(search.legs(vectors[i], terms[i], without=expansion), {i})


def ranked_query(legs: NDArray[np.float64], relevant: set[int]) -> RankedQuery:
    """Keeps the candidates that an index would offer: each leg's best."""
    chosen: set[int] = set()
    for column in legs.T:
        best = np.argpartition(-column, min(DEPTH, len(column) - 1))[:DEPTH]
        chosen.update(int(n) for n in best if column[n] != 0)
    kept = sorted(chosen)
    return RankedQuery(legs[kept], np.array([n in relevant for n in kept], bool))
