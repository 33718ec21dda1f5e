"""Reads expansions: other ways of asking for a FAQ, keyed by its id.

Knows the two line formats; does not know which FAQs exist, nor how expansions are searched.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from retrieval.corpus.cleaning import clean_title
from retrieval.corpus.faq import MAX_BYTES, faq_id
from retrieval.corpus.rows import decode, json_lines, read_bytes, text_list
from retrieval.errors import CorpusError

_HINT = 'Each line must be {"id": "…", "queries": ["…"]} or {"question": "…", "queries": ["…"]}.'
_ID = re.compile(r"[0-9a-f]{12}")


def read_expansions(path: Path) -> dict[str, tuple[str, ...]]:
    """Returns the queries of each FAQ id, in the order read, without repeats.

    Args:
        path: a `.jsonl` file, or a directory of which every `*.jsonl` is read in the order of names.
            A line has `queries` and either `id` or `question` (the raw title, from which the id is
            computed); where both stand, `id` counts.

    Raises:
        CorpusError: nothing to read, or a faulty line, which the message names.
    """
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    if not files:
        raise CorpusError(path, "holds no .jsonl file.", hint="Put the expansions there, or name a file.")
    found: dict[str, dict[str, None]] = {}
    for file in files:
        for number, row in json_lines(decode(read_bytes(file, MAX_BYTES), file), file, _HINT):
            try:
                id, queries = _entry(row)
            except (TypeError, ValueError) as exc:
                raise CorpusError(file, f"line {number}: {exc}.", hint=_HINT) from exc
            found.setdefault(id, {}).update(dict.fromkeys(queries))
    return {id: tuple(queries) for id, queries in found.items()}


def read_questions(path: Path) -> dict[str, tuple[str, ...]]:
    """Returns the ids of all FAQs that answer each question: those that it is an expansion of.

    Args:
        path: a file as `read_expansions` reads it, in which a question stands under each of its FAQs.

    Raises:
        CorpusError: as `read_expansions`.
    """
    found: dict[str, list[str]] = {}
    for id, questions in read_expansions(path).items():
        for question in questions:
            found.setdefault(question, []).append(id)
    return {question: tuple(ids) for question, ids in found.items()}


def _entry(row: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    queries = tuple(clean_title(query) for query in text_list(row, "queries"))
    if not queries or not all(queries):
        raise ValueError('"queries" must name at least one query, none of them blank')
    "".join(queries).encode()
    if "id" in row:
        id = row["id"]
        if not isinstance(id, str) or not _ID.fullmatch(id):
            raise ValueError(f'"id" must be 12 hex digits, not {id!r}')
        return id, queries
    question = row.get("question")
    if not isinstance(question, str) or not question.strip():
        raise TypeError('there is neither "id" nor "question"')
    return faq_id(question), queries
