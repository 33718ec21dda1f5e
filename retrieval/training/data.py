"""Queries to train a ranker on: every expansion asks for its FAQ while it is held out of the search.

Knows views, adapters and the index that is searched in service; does not fit weights. Only the corpus, its
expansions and queries written for it are read here, never an evaluation set.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from retrieval.corpus.faq import Corpus
from retrieval.embedders.adapter import Adapter
from retrieval.embedders.base import Embedder
from retrieval.index.base import IndexQuery
from retrieval.index.memory import MemoryIndex
from retrieval.index.prepare import Known, Progress, prepare
from retrieval.index.rows import IndexRows, view_texts
from retrieval.ranking.features import leg_matrix
from retrieval.tokenizer import KoreanTokenizer
from retrieval.training.adapter import ViewVectors

DEPTH = 50
# So many ways of asking of a FAQ are held out by number and teach the adapter; all of them are searched.
HELD_OUT = 7
_PER_EXPANSION = 1000


@dataclass(frozen=True)
class RankedQuery:
    """One query as the ranker sees it.

    Attributes:
        legs: `(candidates, 12)` scores and signs, see `features.leg_matrix`.
        relevant: `(candidates,)`, which of them answer it.
    """

    legs: NDArray[np.float64]
    relevant: NDArray[np.bool_]


@dataclass(frozen=True)
class CorpusViews:
    """Everything that training knows of a corpus.

    Attributes:
        rows: every view, with vectors by the base embedder.
        vectors: the same, arranged for the adapter; a FAQ that lacks an expansion holds its question there.
        asked: `(k, n)` row numbers of the k-th expansion of each FAQ, -1 where there is none.
        of_text: row numbers of each text that is an expansion, of one FAQ or of several.
    """

    rows: IndexRows
    vectors: ViewVectors
    asked: NDArray[np.int64]
    of_text: Mapping[str, Sequence[int]]

    def __len__(self) -> int:
        return len(self.rows.faqs)

    def index(self, adapter: Adapter | None, *, without: Collection[int] = ()) -> MemoryIndex:
        """The index as in service, where the rows `without` are missing."""
        left_out = set(without)
        kept = np.array([n for n in range(len(self.rows.keys)) if n not in left_out], np.int64)
        part = replace(
            self.rows,
            keys=tuple(self.rows.keys[n] for n in kept),
            faq_ids=tuple(self.rows.faq_ids[n] for n in kept),
            views=tuple(self.rows.views[n] for n in kept),
            dense=self.rows.dense[kept],
            tokens=tuple(self.rows.tokens[n] for n in kept),
            sparse=None if self.rows.sparse is None else tuple(self.rows.sparse[n] for n in kept),
        )
        return MemoryIndex(adapted_rows(part, adapter), fingerprint="training")


def adapted_rows(rows: IndexRows, adapter: Adapter | None) -> IndexRows:
    """Rows of base vectors as an adapter turns them."""
    if adapter is None:
        return rows
    is_query = np.array([view == "expansion" for view in rows.views])[:, None]
    return replace(rows, dense=np.where(is_query, adapter.queries(rows.dense), adapter.passages(rows.dense)))


def corpus_views(
    corpus: Corpus,
    expansions: Mapping[str, Sequence[str]],
    embedder: Embedder,
    tokenizer: KoreanTokenizer,
    *,
    progress: Progress = lambda step, done, total: None,
) -> CorpusViews:
    """Embeds and tokenises every view.

    Args:
        corpus: the FAQs.
        expansions: by FAQ id.
        embedder: the base embedder, without an adapter.
        tokenizer: makes the search terms.
        progress: told how far each step is.

    Raises:
        EmbedderError: texts could not be embedded.
    """
    texts = view_texts(corpus.faqs, expansions)
    done = prepare(texts, embedder, tokenizer, Known(), progress)
    at = {text.key: n for n, text in enumerate(texts)}
    ids = sorted(corpus.by_id)

    def found(name: str) -> list[int]:
        return [at.get(f"{id}:{name}", -1) for id in ids]

    count = max((len(expansions.get(id, ())) for id in ids), default=0)
    asked = np.array([found(f"expansion{k}") for k in range(min(count, HELD_OUT))], np.int64)
    asked, dense = asked.reshape(-1, len(ids)), done.vectors.dense
    question = np.array(found("question0"))
    vectors = ViewVectors(
        question=dense[question],
        answer=dense[found("answer0")],
        expansions=dense[np.where(asked < 0, question, asked)],
    )
    rows = IndexRows.of(texts, vectors=done.vectors, tokens=done.tokens, faqs=dict(corpus.by_id))
    of_text: dict[str, list[int]] = {}
    for n, text in enumerate(texts):
        if text.view == "expansion":
            of_text.setdefault(text.text, []).append(n)
    return CorpusViews(rows, vectors, asked, of_text)


def held_out_queries(
    views: CorpusViews, adapter: Adapter, expansion: int, *, most: int = _PER_EXPANSION
) -> Iterator[RankedQuery]:
    """Yields the k-th expansion of FAQs as queries, where no FAQ has its k-th expansion."""
    given = views.asked[expansion][views.asked[expansion] >= 0]
    index = views.index(adapter, without=given.tolist())
    # So many fit a dozen weights as well as all of them do, in a third of the time.
    chosen = np.random.default_rng(expansion).choice(given, min(most, len(given)), replace=False)
    for row in map(int, np.sort(chosen)):
        vector = adapter.queries(views.rows.dense[row : row + 1])[0]
        sparse = views.rows.sparse[row] if views.rows.sparse is not None else None
        query = IndexQuery("", vector, views.rows.tokens[row], sparse)
        yield ranked_query(index, query, {views.rows.faq_ids[row]})


def ranked_query(index: MemoryIndex, query: IndexQuery, relevant: Collection[str]) -> RankedQuery:
    """The candidates that the index offers; `relevant` are ids."""
    candidates = index.candidates(query, limit=DEPTH)
    return RankedQuery(leg_matrix(candidates), np.array([c.faq.id in relevant for c in candidates], bool))
