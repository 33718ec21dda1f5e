"""Measures what a search finds for single questions.

Knows the case format and the measures; does not know how the search works or where its index lies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from api.evaluation.rows import CasesError, json_rows, text_of, texts_of
from retrieval.corpus.faq import faq_id
from retrieval.search import SearchResult
from retrieval.training.metrics import first_rank, mean, mrr, ndcg_at, percentile, recall_at

DEPTH = 50
CUTS = (1, 3, 5, 10)
Search = Callable[[str], SearchResult]


@dataclass(frozen=True, slots=True)
class RetrievalCase:
    """A question with the FAQs that answer it.

    Attributes:
        id: unique in its file.
        query: as a seller asks.
        style: how it is asked; empty where the file does not say.
        gold: ids of FAQs; any of them counts.
        gold_questions: their titles, for people.
    """

    id: str
    query: str
    style: str
    gold: tuple[str, ...]
    gold_questions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RankedCase:
    """A case with what was found, best first, and the milliseconds it took."""

    case: RetrievalCase
    found: tuple[str, ...]
    questions: tuple[str, ...]
    ms: float

    @property
    def rank(self) -> int | None:
        """Position of the best gold FAQ."""
        return first_rank(self.found, self.case.gold)


def read_retrieval_cases(path: Path) -> tuple[RetrievalCase, ...]:
    """Reads a case file; gold FAQs are named by raw title, so the order of the index does not matter.

    Raises:
        CasesError: unreadable, empty, a malformed row, or an id that occurs twice.
    """
    cases: dict[str, RetrievalCase] = {}
    for place, row in json_rows(path):
        case = _case(row, place)
        if case.id in cases:
            raise CasesError(f"{place}: id {case.id!r} occurs twice")
        cases[case.id] = case
    return tuple(cases.values())


def check_gold(cases: Iterable[RetrievalCase], known: Iterable[str], path: Path) -> None:
    """Makes sure that every case can be answered by the corpus measured.

    Raises:
        CasesError: none of a case's gold questions is in it.
    """
    ids = set(known)
    for case in cases:
        if not ids.intersection(case.gold):
            raise CasesError(
                f"{path}: {case.id}: no FAQ is called {case.gold_questions[0]!r}; is --faq the right file?"
            )


def rank_cases(cases: Iterable[RetrievalCase], search: Search) -> list[RankedCase]:
    """Searches each question, one after the other."""
    ranked = []
    for case in cases:
        started = perf_counter()
        hits = search(case.query).hits
        elapsed = (perf_counter() - started) * 1e3
        found, questions = tuple(h.faq.id for h in hits), tuple(h.faq.question for h in hits[:3])
        ranked.append(RankedCase(case, found, questions, elapsed))
    return ranked


def summarize_retrieval(ranked: Sequence[RankedCase]) -> dict[str, Any]:
    """The report: all cases, each style, latency, then every case."""
    styles = sorted({one.case.style for one in ranked})
    times = [one.ms for one in ranked]
    return {
        **_measures(ranked),
        "by_style": {style: _measures([o for o in ranked if o.case.style == style]) for style in styles},
        "latency_ms": {"p50": percentile(times, 0.5), "p95": percentile(times, 0.95)},
        "per_case": [
            {
                "id": one.case.id,
                "query": one.case.query,
                "style": one.case.style,
                "rank": one.rank,
                "ndcg@10": ndcg_at(one.found, one.case.gold),
                "gold_questions": list(one.case.gold_questions),
                "found": list(one.questions),
            }
            for one in ranked
        ],
    }


def _measures(ranked: Sequence[RankedCase]) -> dict[str, Any]:
    ranks = [one.rank for one in ranked]
    return {
        "cases": len(ranked),
        **{f"recall@{k}": recall_at(ranks, k) for k in CUTS},
        "mrr": mrr(ranks),
        "ndcg@10": mean([ndcg_at(one.found, one.case.gold) for one in ranked]),
    }


def _case(row: dict[str, Any], place: str) -> RetrievalCase:
    questions = texts_of(row, "gold_questions", place)
    if not questions:
        raise CasesError(f"{place}: 'gold_questions' must name at least one question")
    style = row.get("style", "")
    if not isinstance(style, str):
        raise CasesError(f"{place}: 'style' must be a text, found {style!r}")
    gold = tuple(dict.fromkeys(faq_id(question) for question in questions))
    return RetrievalCase(text_of(row, "id", place), text_of(row, "query", place), style, gold, questions)
