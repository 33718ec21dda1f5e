"""Evaluation of answers: are the facts there, is nothing forbidden said, is it short and cited.

Facts and forbidden statements are checked on the answer alone: without citations, sources or
follow-ups. Knows the file format and the scoring; how an answer is made is the caller's.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from api.citations import CITATION, strip_citations
from api.conversation import Conversation
from api.events import TurnCompleted
from api.memory import Memory
from api.turns.base import TurnRequest
from retrieval.segments import split_sentences

Answerer = Callable[[str], Awaitable[str]]

_AFTERWORD = re.compile(
    r"\n\s*(?:\*\*|#+ ?|\[)?(?:출처|참고 ?FAQ|관련 질문|추천 질문|이어서 물어)[^\n]{0,20}(?:\n|$)"
)
_MARKER = re.compile(r"\s*(?:[·•\-*※]|\d{1,2}[.)]|예\))\s")
_WORD = re.compile(r"\w")


class AnswerCasesError(ValueError):
    """A case file cannot be used; the message is one line and names the place."""


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
    """Reads a case file of JSON lines.

    Raises:
        AnswerCasesError: unreadable, empty, or a malformed row.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as exc:
        raise AnswerCasesError(f"{path}: cannot be read ({exc})") from exc
    cases = tuple(_case(path, number, line) for number, line in enumerate(lines, 1) if line.strip())
    if not cases:
        raise AnswerCasesError(f"{path}: holds no case")
    return cases


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
                "missing": [list(fact) for fact in one.missing],
                "forbidden": list(one.said),
                "chars": len(one.answer),
                "answer": one.answer,
            }
            for one in judged
        ],
    }


async def judge_answers(cases: Iterable[AnswerCase], answerer: Answerer) -> AsyncIterator[JudgedAnswer]:
    """Has each question answered, in order, and judges the answer."""
    for case in cases:
        yield judge_answer(case, await answerer(case.query))


def conversation_answerer(conversation: Conversation, *, provider: str) -> Answerer:
    """Answers through the whole chain (search, verdict, provider, citations), each question alone."""

    async def answer(query: str) -> str:
        request = TurnRequest("evaluation", "evaluation", query, provider)
        async with aclosing(conversation.answer(request, Memory())) as events:
            async for event in events:
                if isinstance(event, TurnCompleted):
                    return event.answer
        return ""

    return answer


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


def _case(path: Path, number: int, line: str) -> AnswerCase:
    try:
        row = json.loads(line)
        case = AnswerCase(
            _text(row["id"]),
            _text(row["query"]),
            tuple(_row(one) for one in _list(row["gold"])),
            tuple(tuple(_text(one) for one in _list(fact)) for fact in _list(row["facts"])),
            tuple(_text(one) for one in _list(row["forbidden"])),
        )
        if not all(case.facts):
            raise ValueError("a fact has no alternative")
        for pattern in (*case.forbidden, *(one[3:] for f in case.facts for one in f if one[:3] == "re:")):
            re.compile(pattern)
    except KeyError as exc:
        raise AnswerCasesError(f"{path}: line {number}: {exc.args[0]!r} is missing") from exc
    except (ValueError, TypeError, re.error, RecursionError) as exc:
        raise AnswerCasesError(f"{path}: line {number}: {exc}") from exc
    return case


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise TypeError(f"expected a text that is not blank, found {value!r}")
    return value


def _row(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError(f"expected a row number, found {value!r}")
    return value


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"expected a list, found {value!r}")
    return value
