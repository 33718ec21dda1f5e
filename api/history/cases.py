"""What sellers and operators said of answers, as cases for the evaluation.

A thumb up says that the cited FAQ answers the question; a FAQ written because of a turn says that it does.
`row["final"]` is not read: lists of turns come without it. Knows rows of the history; no database.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from api.history.entry import Row


async def retrieval_cases(rows: AsyncIterator[Row]) -> AsyncIterator[dict[str, Any]]:
    """Cases of `smartstore eval retrieval`, one for each question that somebody vouched for.

    Args:
        rows: turns with `correction` (see `export.corrected`), newest first: the newest word counts.
    """
    seen: set[str] = set()
    async for row in rows:
        question = row["standalone"]
        titles = _vouched(row)
        if not titles or question in seen:
            continue
        seen.add(question)
        yield {"id": row["id"], "query": question, "style": "history", "gold_questions": titles}


def _vouched(row: Row) -> list[str]:
    if row["correction"]:
        return [row["correction"]["question"]]
    if row["rating"] != "up" or row["verdict"] != "answered":
        return []
    return [source["question"] for source in row["sources"] if f"[{source['n']}]" in row["answer"]]
