"""Puts evaluation cases to a running API and measures the answers.

Knows the API's HTTP contract (`POST /chat`, server-sent events) and the case files; does not import it.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from finetune.errors import DataError, ServiceError
from retrieval.quoting.citations import CITATION, strip_citations

_VERDICTS = {
    "in_scope": "answered", "off_topic": "off_topic", "injection": "off_topic", "unanswerable": "not_found",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """One question.

    Attributes:
        id: as in its file.
        text: the question.
        verdict: the right verdict.
        facts: each needed, any alternative of one will do (a substring, or a pattern after `re:`).
        forbidden: patterns of wrong statements.
    """

    id: str
    text: str
    verdict: str
    facts: tuple[tuple[str, ...], ...] = ()
    forbidden: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Turn:
    """What came back: the answer, its verdict, citations kept and dropped, milliseconds."""

    answer: str
    verdict: str
    provider: str
    citations: int
    dropped: int
    first_ms: float
    total_ms: float


def read_cases(folder: Path) -> list[Case]:
    """Reads `answers.jsonl` and `scope.jsonl` of a folder, as far as they are there.

    Raises:
        DataError: there is neither, or a line is faulty.
    """
    cases: list[Case] = []
    for name in ("answers.jsonl", "scope.jsonl"):
        path = folder / name
        if not path.exists():
            continue
        try:
            rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
            cases += [_case(row) for row in rows]
        except (OSError, ValueError, KeyError, TypeError) as exc:
            raise DataError(f"{path}: holds a line that is no case ({exc!r})") from exc
    if not cases:
        raise DataError(f"{folder}: holds neither answers.jsonl nor scope.jsonl")
    return cases


def _case(row: dict[str, Any]) -> Case:
    if "label" in row:
        return Case(str(row["id"]), str(row["text"]), _VERDICTS[row["label"]])
    facts = tuple(tuple(fact) for fact in row["facts"])
    return Case(str(row["id"]), str(row["query"]), "answered", facts, tuple(row["forbidden"]))


def ask(client: httpx.Client, case: Case, provider: str) -> Turn:
    """Asks one question in a session of its own.

    Raises:
        ServiceError: the API refused, failed or broke off.
    """
    started = time.perf_counter()
    first, kind = 0.0, ""
    body = {"question": case.text, "provider": provider}
    url = str(client.base_url.join("chat"))
    try:
        with client.stream("POST", "chat", json=body) as response:
            if response.status_code != 200:
                raise ServiceError(url, f"{response.status_code}: {response.read().decode()[:200]}")
            for line in response.iter_lines():
                if line.startswith("event: "):
                    kind = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    data = json.loads(line.removeprefix("data: "))
                    first = first or (time.perf_counter() - started if kind == "delta" else 0.0)
                    if kind == "error":
                        raise ServiceError(url, f"{case.id}: {data['code']}: {data['message']}")
                    if kind == "turn.completed":
                        return _turn(data, first, time.perf_counter() - started)
    except (httpx.HTTPError, ValueError, KeyError) as exc:
        raise ServiceError(url, f"{case.id}: {exc!r}") from exc
    raise ServiceError(url, f"{case.id}: the stream ended without an answer")


def _turn(data: dict[str, Any], first: float, total: float) -> Turn:
    return Turn(
        data["answer"], data["verdict"], data["provider"], len(data["citations"]),
        int(data.get("dropped_citations", 0)), first * 1e3, total * 1e3,
    )  # fmt: skip


def measure(case: Case, turn: Turn) -> dict[str, float]:
    """The measures of one turn, each in [0, 1], higher is better; only those that the case has.

    `answers`: all facts and nothing forbidden. `scope`: the right verdict. `citations`: every sentence
    line of an answer bears one, and none had to be dropped.
    """
    measures = {"scope": float(turn.verdict == case.verdict)}
    if case.facts:
        plain = strip_citations(turn.answer)
        right = all(any(_holds(option, plain) for option in fact) for fact in case.facts)
        measures["answers"] = float(right and not any(re.search(p, plain) for p in case.forbidden))
    if case.verdict == "answered":
        lines = [line for line in turn.answer.split("\n") if re.search(r"\w", line)]
        cited = [line for line in lines if CITATION.search(line) or line.rstrip().endswith(":")]
        measures["citations"] = float(
            bool(lines) and len(cited) == len(lines) and turn.citations > 0 and not turn.dropped
        )
    return measures


def _holds(option: str, text: str) -> bool:
    if option.startswith("re:"):
        return re.search(option.removeprefix("re:"), text) is not None
    return option in text


def play(
    url: str, provider: str, cases: Iterable[Case], *, timeout_s: float = 120.0
) -> tuple[list[Turn], list[dict[str, float]]]:
    """Asks every case, one after the other; a silent fallback to another provider is a failure.

    Raises:
        ServiceError: see `ask`.
    """
    turns, measures = [], []
    with httpx.Client(base_url=url, timeout=timeout_s) as client:
        for case in cases:
            turn = ask(client, case, provider)
            if turn.provider != provider:
                raise ServiceError(url, f"{case.id}: {turn.provider} answered in place of {provider}")
            turns.append(turn)
            measures.append(measure(case, turn))
    return turns, measures
