"""A list of chat messages as a question with its history, and back: follow-ups as lines of text.

Instructions of the caller (system messages), tools and pictures have no place in a grounded
answer and are left out. Knows no models and no wire format.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from api.errors import InvalidRequest
from api.events import Suggestion
from api.web.openai.requests import Message

_BULLET = "  - "
_LINES = re.compile(rf"(?:\n+{_BULLET}[^\n]*)+\s*\Z")


def question_of(messages: Sequence[Message], *, most: int) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The last user turn, and up to `most` exchanges before it, oldest first.

    User messages in a row are one turn. Raises `InvalidRequest` where the user says nothing.
    """
    turns: list[tuple[str, str]] = []
    question, answer = "", ""
    for message in messages:
        text = message.text()
        if message.role == "user":
            if answer:
                turns.append((question, answer))
                question, answer = "", ""
            question = f"{question}\n{text}" if question else text
        elif message.role == "assistant" and question:
            answer += without_follow_ups(text)
    if not question:
        raise InvalidRequest("messages: 글로 된 사용자의 질문(role 'user')이 필요합니다.")
    return question, tuple(turns[-most:]) if most else ()


def follow_up_lines(suggestions: Iterable[Suggestion]) -> str:
    """The end of an answer: an empty line, then an offer on each line; empty for none."""
    lines = "\n".join(f"{_BULLET}{suggestion.text}" for suggestion in suggestions)
    return f"\n\n{lines}" if lines else ""


def without_follow_ups(text: str) -> str:
    """An answer that was shown, as it was before its offers were added."""
    return _LINES.sub("", text)
