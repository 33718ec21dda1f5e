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
from retrieval.corpus.sentences import split_sentences
from retrieval.prompt import LEFT_OUT
from retrieval.quoting.citations import CITATION, strip_citations
from retrieval.scope.fixed_answers import FIXED_ANSWERS

Answerer = Callable[[str], Awaitable[str]]

_AFTERWORD = re.compile(
    r"\n\s*(?:\*\*|#+ ?|\[)?(?:출처|참고 ?FAQ|관련 질문|추천 질문|이어서 물어)[^\n]{0,20}(?:\n|$)"
)
_WORD = re.compile(r"\w")
# What tells a reader that a list follows, whatever the answerer's own notion of one: wide on purpose.
_ANNOUNCES = re.compile(
    r"(?<![가-힣])(?:아래|다음|하기)(?:와|과) ?같|(?<![가-힣])(?:아래|다음|하기)(?:의|에|를|은)? ?"
    r"(?:[두세네] ?가지|내용|사항|순서|방법|항목|조건|기준|서류|절차|사유)|:$"
)
_COUNT = re.compile(
    r"(?<![~\d이위])(?<!이 |위 )(\d|[두세네]) ?가지(?:의|로)? ?(?:방법|종류|기준|조건|유형|경우|형태|항목)"
)
_NUMBERS = {"두": 2, "세": 3, "네": 4}
_MIDDLE = re.compile(r"\s*(?:[·•\-*)\]}>,.]|(?:[2-9]|1\d)[.)]\s|[②-⑳]|(?:은|는|을|를|에|의|으로|에서)\s)")


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
    """The report: shares in [0, 1], lengths in characters as shown (citations included), counts of answers
    that announce a list and do not give it, and that begin in the middle.

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
        "announced_missing": sum(announces_in_vain(one.answer) for one in judged),
        "begins_in_middle": sum(begins_in_the_middle(one.answer) for one in judged),
        "per_case": [
            {
                "id": one.case.id,
                "query": one.case.query,
                "passed": one.passed,
                "all_facts": not one.missing,
                "forbidden": bool(one.said),
                "uncited": one.uncited / one.sentences if one.sentences else 0.0,
                "announced_missing": announces_in_vain(one.answer),
                "begins_in_middle": begins_in_the_middle(one.answer),
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
    """Returns how many parts the text has and how many of them bear no citation.

    A part is what ends with a citation, or with the paragraph: a sentence, or a heading with its list. The
    fixed answers (a refusal, the sentence above choices) have none.
    """
    parts = uncited = 0
    for paragraph in re.split(r"\n\s*\n", text):
        if paragraph in FIXED_ANSWERS:
            continue
        *cited, last = (bool(_WORD.search(part)) for part in CITATION.split(paragraph)[::2])
        parts += sum(cited) + last
        uncited += last
    return parts, uncited


def announces_in_vain(text: str) -> bool:
    """Whether the answer announces a list that it does not give.

    A list of which only a part is there is given where the answer ends by saying that it is not whole
    (`LEFT_OUT`); one of which nothing is there never is.
    """
    plain = strip_citations(text).strip()
    partial = plain.endswith(LEFT_OUT)
    units = [one for line in plain.removesuffix(LEFT_OUT).split("\n") for one in split_sentences(line)]
    for after, unit in enumerate(reversed(units)):
        count = _COUNT.search(unit)
        wanted = _NUMBERS.get(count[1]) or int(count[1]) if count else int(bool(_ANNOUNCES.search(unit)))
        if after < (min(wanted, 1) if partial else wanted):
            return True
    return False


def begins_in_the_middle(text: str) -> bool:
    """Whether the first words hang on something that is not there: an item, a particle, a closed bracket."""
    return bool(_MIDDLE.match(text))


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
