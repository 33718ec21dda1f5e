"""Takes the search apart: what each of its parts finds alone, and what each step adds.

Searches every view exhaustively in memory, so that parts which no index offers (whitespace terms, no
expansions, vectors without the adapter) are measured in the same way. Knows no command and no settings.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from api.evaluation.retrieval import RetrievalCase
from retrieval.corpus.faq import Corpus, Faq
from retrieval.embedders.adapter import Adapter
from retrieval.index.base import IndexQuery
from retrieval.index.bm25 import Bm25Statistics, Postings
from retrieval.index.memory import MemoryIndex
from retrieval.ranking.features import leg_matrix
from retrieval.ranking.ranker import Ranker
from retrieval.tokenizer import KoreanTokenizer
from retrieval.training.data import CorpusViews
from retrieval.training.metrics import Interval, bootstrap, first_rank, paired_bootstrap

Array = NDArray[np.float64]
BEGIN, END = "<!-- ablation: written by `smartstore eval ablation` -->", "<!-- /ablation -->"
_DQ, _DA, _DE, _LQ, _LA, _LE = range(6)
_ALL = 7  # the legs and, behind them, the rows read as one text


@dataclass(frozen=True)
class Step:
    """A configuration measured.

    Attributes:
        name: for the table.
        ranks: per case, the rank of the best gold FAQ.
        against: the name of the configuration it is compared with; empty for none.
    """

    name: str
    ranks: tuple[int, ...]
    against: str = ""


def measure_ablation(
    cases: Sequence[RetrievalCase],
    corpus: Corpus,
    views: CorpusViews,
    vectors: NDArray[np.float32],
    *,
    adapter: Adapter | None,
    ranker: Ranker,
) -> list[Step]:
    """Measures every configuration on `cases`.

    Args:
        cases: the questions.
        corpus: the FAQs.
        views: the same, embedded by the base embedder.
        vectors: of the questions, by the base embedder.
        adapter: the one in use, if any.
        ranker: the one in use.
    """
    tokenizer = KoreanTokenizer()
    terms = [tokenizer.tokens(case.query) for case in cases]
    ids = sorted(corpus.by_id)
    plain = _legs(views.index(None), vectors, terms)
    fitted = _legs(views.index(adapter), adapter.queries(vectors), terms) if adapter else plain
    whitespace = _whitespace([corpus.by_id[id] for id in ids])
    portable = Ranker.load()

    def step(name: str, scores: Sequence[Array], against: str = "") -> Step:
        ranked = zip(cases, scores, strict=True)
        return Step(name, tuple(_rank(case, row, ids) for case, row in ranked), against)

    def each(score: Callable[[Array], Array], legs: Sequence[Array]) -> list[Array]:
        return [score(one) for one in legs]

    kiwi = "BM25, Kiwi morphemes (title, answer)"
    summed, fused = "sum of e5 and BM25, no expansions", "the same with expansions"
    steps = [
        step("BM25, whitespace words (title, answer)", [whitespace(case.query) for case in cases]),
        step(kiwi, each(lambda x: x[:, _LQ] + x[:, _LA], plain), "BM25, whitespace words (title, answer)"),
        step("BM25, Kiwi morphemes, expansions alone", each(lambda x: x[:, _LE], plain), kiwi),
        step("e5 question", each(lambda x: x[:, _DQ], plain)),
        step("e5 answer", each(lambda x: x[:, _DA], plain), "e5 question"),
        step("e5 expansions", each(lambda x: x[:, _DE], plain), "e5 question"),
        step(summed, each(lambda x: _sum(x[:, [_DQ, _DA, _LQ, _LA]]), plain), kiwi),
        step(fused, each(lambda x: _sum(x[:, :_ALL]), plain), summed),
        step("trained weights (portable), e5", each(portable.scores, plain), fused),
    ]
    last = steps[-1].name
    if adapter:
        steps += [
            step("adapted question", each(lambda x: x[:, _DQ], fitted), "e5 question"),
            step("adapted answer", each(lambda x: x[:, _DA], fitted), "e5 answer"),
            step("adapted expansions", each(lambda x: x[:, _DE], fitted), "e5 expansions"),
            step("sum with adapted vectors", each(lambda x: _sum(x[:, :_ALL]), fitted), fused),
        ]
    return [
        *steps,
        step("the default: adapted vectors and trained weights", each(ranker.scores, fitted), last),
    ]


def table(steps: Sequence[Step]) -> str:
    """The steps as a Markdown table with 95% intervals."""
    by_name = {step.name: step for step in steps}
    lines = [
        "| configuration | recall@1 | recall@5 | MRR | change in recall@1 | against |",
        "|---|---|---|---|---|---|",
    ]
    for one in steps:
        change = ""
        if one.against:
            difference = paired_bootstrap(_hits(by_name[one.against], 1), _hits(one, 1))
            mark = " **" if difference.decided else " "
            change = f"{mark.strip()}{_signed(difference)}{mark.strip()}"
        measured = (bootstrap(_hits(one, 1)), bootstrap(_hits(one, 5)), bootstrap(_reciprocal(one)))
        cells = " | ".join(f"{m.mean:.3f} ({m.low:.2f} to {m.high:.2f})" for m in measured)
        lines.append(f"| {one.name} | {cells} | {change} | {one.against} |")
    return "\n".join(lines)


def write_section(path: Path, heading: str, text: str) -> None:
    """Replaces the table in a Markdown file, or adds it at the end; the rest of the file stays."""
    section = f"{BEGIN}\n{heading}\n\n{text}\n{END}"
    old = path.read_text(encoding="utf-8") if path.exists() else "# Quality\n"
    pattern = re.compile(re.escape(BEGIN) + r".*?" + re.escape(END), re.DOTALL)
    new = pattern.sub(lambda _: section, old) if pattern.search(old) else f"{old.rstrip()}\n\n{section}\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(new, encoding="utf-8")


def as_json(steps: Sequence[Step]) -> list[Mapping[str, object]]:
    """The steps for machines."""
    return [
        {
            "name": one.name,
            "against": one.against,
            "recall@1": bootstrap(_hits(one, 1)).mean,
            "recall@5": bootstrap(_hits(one, 5)).mean,
            "mrr": bootstrap(_reciprocal(one)).mean,
            "ranks": list(one.ranks),
        }
        for one in steps
    ]


def _legs(index: MemoryIndex, vectors: NDArray[np.float32], terms: Sequence[tuple[str, ...]]) -> list[Array]:
    """Every FAQ's scores and signs, in the order of ids, for each question."""
    queries = [IndexQuery("", vector, found) for vector, found in zip(vectors, terms, strict=True)]
    return [leg_matrix(index.candidates(query, limit=len(index))) for query in queries]


def _whitespace(faqs: Sequence[Faq]) -> Callable[[str], Array]:
    documents = [f"{faq.question} {faq.answer}".lower().split() for faq in faqs]
    statistics = Bm25Statistics.of(documents)
    postings = Postings(statistics.weights(document) for document in documents)

    def search(query: str) -> Array:
        return postings.scores({t: float(n) for t, n in Counter(query.lower().split()).items()}).astype(float)

    return search


def _sum(legs: Array) -> Array:
    """Each leg scaled to [0, 1] over all FAQs, added up."""
    low, high = legs.min(axis=0), legs.max(axis=0)
    result: Array = ((legs - low) / np.maximum(high - low, 1e-9)).sum(axis=1)
    return result


def _rank(case: RetrievalCase, scores: Array, ids: Sequence[str]) -> int:
    order = [ids[n] for n in np.argsort(-scores, kind="stable")]
    return first_rank(order, case.gold) or len(ids)


def _hits(step: Step, k: int) -> list[float]:
    return [float(rank <= k) for rank in step.ranks]


def _reciprocal(step: Step) -> list[float]:
    return [1 / rank for rank in step.ranks]


def _signed(difference: Interval) -> str:
    return f"{difference.mean:+.3f} ({difference.low:+.3f} to {difference.high:+.3f})"
