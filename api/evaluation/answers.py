"""Evaluation of answers: are the facts there, is nothing forbidden said, is it short and cited.

Facts and forbidden statements are checked on the answer alone: without citations, sources or
follow-ups. Knows the file format and the scoring; how an answer is made is the caller's.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from api.evaluation.rows import CasesError, json_rows, text_of, texts_of
from retrieval.corpus.segments import split_sentences
from retrieval.quoting.citations import CITATION, strip_citations

Answerer = Callable[[str], Awaitable[str]]

_AFTERWORD = re.compile(
    r"\n\s*(?:\*\*|#+ ?|\[)?(?:출처|참고 ?FAQ|관련 질문|추천 질문|이어서 물어)[^\n]{0,20}(?:\n|$)"
)
_MARKER = re.compile(r"\s*(?:[·•\-*※]|\d{1,2}[.)]|예\))\s")
_WORD = re.compile(r"\w")


@dataclass(frozen=True, slots=True)
class AnswerCase:
    """One question with what its answer must and must not say.

    Attributes:
        id: as in the file.
        query: the question.
        gold: rows of the FAQs that answer it.
        facts: each needed; any alternative of one will do (a substring, or a pattern after `re:`).
        forbidden: patterns of wrong statements.
    """

    id: str
    query: str
    gold: tuple[int, ...]
    facts: tuple[tuple[str, ...], ...]
    forbidden: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class JudgedAnswer:
    """An answer with its verdict; `missing` are facts it lacks, `said` forbidden patterns it matches."""

    case: AnswerCase
    answer: str
    missing: tuple[tuple[str, ...], ...]
    said: tuple[str, ...]
    sentences: int
    uncited: int

    @property
    def passed(self) -> bool:
        """All facts and nothing forbidden."""
        return not self.missing and not self.said


def read_answer_cases(path: Path) -> tuple[AnswerCase, ...]:
    """Reads a case file of JSON lines. Raises `CasesError`."""
    return tuple(_case(place, row) for place, row in json_rows(path))


def judge_answer(case: AnswerCase, answer: str) -> JudgedAnswer:
    """Checks one answer."""
    alone = answer_alone(answer)
    plain = strip_citations(alone)
    missing = tuple(fact for fact in case.facts if not any(_holds(other, plain) for other in fact))
    said = tuple(pattern for pattern in case.forbidden if re.search(pattern, plain))
    sentences, uncited = count_uncited(alone)
    return JudgedAnswer(case, alone, missing, said, sentences, uncited)


def summarize_answers(judged: Sequence[JudgedAnswer]) -> dict[str, Any]:
    """The report: shares in [0, 1], lengths in characters as shown (citations included).

    Raises:
        ValueError: nothing was judged.
    """
    if not judged:
        raise ValueError("no answer was judged")
    facts = sum(len(one.case.facts) for one in judged)
    sentences = sum(one.sentences for one in judged)
    lengths = [len(one.answer) for one in judged]
    return {
        "cases": len(judged),
        "all_facts": sum(not one.missing for one in judged) / len(judged),
        "passed": sum(one.passed for one in judged) / len(judged),
        "facts": (facts - sum(len(one.missing) for one in judged)) / facts if facts else 1.0,
        "forbidden": sum(bool(one.said) for one in judged) / len(judged),
        "median_chars": median(lengths),
        "max_chars": max(lengths),
        "uncited": sum(one.uncited for one in judged) / sentences if sentences else 0.0,
        "per_case": [
            {
                "id": one.case.id,
                "query": one.case.query,
                "passed": one.passed,
                "all_facts": not one.missing,
                "forbidden": bool(one.said),
                "uncited": one.uncited / one.sentences if one.sentences else 0.0,
                "chars": len(one.answer),
                "missing": [list(fact) for fact in one.missing],
                "said": list(one.said),
                "answer": one.answer,
            }
            for one in judged
        ],
    }


async def judge_answers(cases: Iterable[AnswerCase], answerer: Answerer) -> AsyncIterator[JudgedAnswer]:
    """Has each question answered, in order, and judges the answer."""
    for case in cases:
        yield judge_answer(case, await answerer(case.query))


def answer_alone(text: str) -> str:
    """The answer without a list of sources or suggested questions below it."""
    found = _AFTERWORD.search(text)
    return (text[: found.start()] if found else text).strip()


def count_uncited(text: str) -> tuple[int, int]:
    """Returns how many sentences the text has and how many of them bear no citation.

    A list item is one sentence, a heading (a line that ends with a colon) none.
    """
    sentences = uncited = 0
    for line in text.split("\n"):
        if line.rstrip().endswith(":") or not _WORD.search(strip_citations(line)):
            continue
        if _MARKER.match(line):
            sentences += 1
            uncited += not CITATION.search(line)
            continue
        pieces = CITATION.split(line)[::2]
        counts = [
            sum(bool(_WORD.search(part)) for part in split_sentences(piece.strip())) for piece in pieces
        ]
        sentences += sum(counts)
        uncited += sum(max(0, count - 1) for count in counts[:-1]) + counts[-1]
    return sentences, uncited


def _holds(alternative: str, answer: str) -> bool:
    if alternative.startswith("re:"):
        return bool(re.search(alternative[3:], answer))
    return alternative in answer


def _case(place: str, row: dict[str, Any]) -> AnswerCase:
    gold, facts = row.get("gold"), row.get("facts")
    if not isinstance(gold, list) or not all(type(one) is int and one >= 0 for one in gold):
        raise CasesError(f"{place}: 'gold' must be a list of row numbers, found {gold!r}")
    if not isinstance(facts, list):
        raise CasesError(f"{place}: 'facts' must be a list of lists, found {facts!r}")
    wanted = tuple(texts_of({"facts": fact}, "facts", place) for fact in facts)
    if not all(fact and all(fact) for fact in wanted):
        raise CasesError(f"{place}: a fact has no alternative, or an empty one")
    forbidden = texts_of(row, "forbidden", place)
    for pattern in (*forbidden, *(one[3:] for fact in wanted for one in fact if one.startswith("re:"))):
        try:
            re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as exc:
            raise CasesError(f"{place}: {pattern!r} is no pattern ({exc})") from exc
    return AnswerCase(text_of(row, "id", place), text_of(row, "query", place), tuple(gold), wanted, forbidden)
