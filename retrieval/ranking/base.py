"""The reranker seam: a question and texts in, the probability of each in the same order out.

Knows how what a reranker reads is weighed against what the trained ranker found; knows no model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from retrieval.ranking.ranker import Hit


class Reranker(Protocol):
    """Reads a question and a text together; thread-safe, blocking.

    `name` identifies the model, for reports and caches; of a search's hits the first `depth` are read.
    """

    name: str
    depth: int

    def probabilities(self, question: str, texts: Sequence[str]) -> list[float]:
        """How likely each text answers the question, 0 to 1, in the order given. Raises `EmbedderError`."""
        ...


def rerank(reranker: Reranker, question: str, hits: Sequence[Hit]) -> list[Hit]:
    """The hits with the first `reranker.depth` in their new order.

    A hit's score becomes the mean of the ranker's probability and the reranker's: the one knows the
    expansions, the other reads the text.
    """
    read, rest = list(hits[: reranker.depth]), list(hits[reranker.depth :])
    if len(read) < 2:
        return [*read, *rest]
    likely = reranker.probabilities(question, [f"{hit.faq.question}\n{hit.faq.answer}" for hit in read])
    scored = [replace(hit, score=(hit.score + p) / 2) for hit, p in zip(read, likely, strict=True)]
    return [*sorted(scored, key=lambda hit: (-hit.score, hit.faq.id)), *rest]
