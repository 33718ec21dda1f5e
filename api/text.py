"""The one door for text from outside: what a string may hold before anything is done with it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, model_validator

from api.errors import InvalidRequest


def check_text(text: str, *, where: str = "본문") -> str:
    """The text, if every encoding can carry it.

    Raises:
        InvalidRequest: half of a surrogate pair, which UTF-8 has no bytes for.
    """
    try:
        # Encoding tells at the speed of a copy: the state's scripts send every event through here.
        text.encode()
    except UnicodeEncodeError as exc:
        raise InvalidRequest(
            f"{where}: 글자로 읽을 수 없는 값(짝이 없는 서로게이트)이 들어 있습니다."
        ) from exc
    return text


def printable(text: str) -> str:
    """The text as any encoding can carry it: for messages that quote what a caller sent."""
    return text.encode("utf-8", "replace").decode()


def check_texts(value: Any, *, where: str = "본문") -> Any:
    """Checks every string of a parsed JSON value, names of members included. Raises `InvalidRequest`."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            check_text(item, where=where)
        elif isinstance(item, dict):
            waiting += [*item.keys(), *item.values()]
        elif isinstance(item, list):
            waiting += item
    return value


class RequestBody(BaseModel):
    """A request's body; its strings are checked before its fields are read."""

    @model_validator(mode="before")
    @classmethod
    def _check_texts(cls, value: Any) -> Any:
        return check_texts(value)
