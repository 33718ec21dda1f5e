"""The body of a raw request: checked, its model named anew, everything else as it came.

Walks the members of the outermost object, so that a `model` inside a tool or a message is never
taken for the request's own. Knows JSON's text, not what its fields mean.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from api.errors import InvalidRequest

_OPENING = re.compile(r"[ \t\n\r]*\{[ \t\n\r]*")
_KEY = re.compile(r'"([^"\\\x00-\x1f]*(?:\\.[^"\\\x00-\x1f]*)*)"[ \t\n\r]*:[ \t\n\r]*')
_AFTER = re.compile(r"[ \t\n\r]*(?:(,)[ \t\n\r]*|\}[ \t\n\r]*\Z)")
_LONGEST_OPENING = 1024


class Malformed(ValueError):
    """The text is no JSON object, or not one that every reader understands alike."""


def _refuse(constant: str) -> NoReturn:
    raise Malformed(f"{constant} is not JSON")


_value_at = json.JSONDecoder(parse_constant=_refuse).raw_decode


@dataclass(frozen=True, slots=True)
class RawBody:
    """A request body.

    Attributes:
        text: all of it.
        fields: what was decoded: only to be looked at, never sent.
        model_at: where the value of `model` begins and ends in `text`.
    """

    text: str
    fields: dict[str, Any]
    model_at: tuple[int, int]

    @property
    def model(self) -> str:
        """The model asked for."""
        return str(self.fields["model"])

    def check(self) -> None:
        """Raises `InvalidRequest` where no server could answer the chat completion."""
        self.check_stream()
        messages = self.fields.get("messages")
        if not isinstance(messages, list) or not messages:
            raise InvalidRequest("messages: 하나 이상의 메시지가 필요합니다.")
        if not all(isinstance(message, dict) for message in messages):
            raise InvalidRequest("messages: 메시지는 JSON 객체여야 합니다.")

    def check_stream(self) -> None:
        """Raises `InvalidRequest` where `stream` is neither true nor false."""
        stream = self.fields.get("stream")
        if stream is not None and not isinstance(stream, bool):
            raise InvalidRequest("stream: true 또는 false여야 합니다.")

    def opening(self) -> str:
        """What all requests of one conversation have in common: its cache key, or how it begins."""
        key = self.fields.get("prompt_cache_key")
        if isinstance(key, str) and key:
            return key
        messages = self.fields.get("messages", self.fields.get("input"))
        if not isinstance(messages, list):
            return _beginning(messages)
        asked = (
            n for n, each in enumerate(messages) if isinstance(each, dict) and each.get("role") == "user"
        )
        return "\n".join(map(_beginning, messages[: next(asked, 0) + 1]))

    def naming(self, model: str) -> bytes:
        """The body with another model; every other byte as it was."""
        start, end = self.model_at
        return f"{self.text[:start]}{json.dumps(model)}{self.text[end:]}".encode()


def read_body(body: bytes) -> RawBody:
    """Reads a body. Raises `Malformed`, also where `model` is missing, no text, or named twice."""
    try:
        text = body.decode()
        fields: dict[str, Any] = {}
        model_at = None
        for key, value, start, end in _members(text):
            if key == "model":
                if model_at is not None:
                    raise Malformed("two models")
                model_at = start, end
            fields[key] = value
    except (ValueError, RecursionError) as exc:
        raise Malformed(str(exc)) from exc
    if model_at is None or not isinstance(fields["model"], str):
        raise Malformed("no model")
    return RawBody(text, fields, model_at)


def _beginning(value: Any) -> str:
    """The first text of a message's content, whatever form it has."""
    match value:
        case str():
            return value[:_LONGEST_OPENING]
        case list() if value:
            return _beginning(value[0])
        case dict():
            return _beginning(value.get("content", value.get("text")))
        case _:
            return ""


def _members(text: str) -> Iterator[tuple[str, Any, int, int]]:
    """Key, value, and where the value begins and ends, of each member of the outermost object."""
    at = _expect(_OPENING, text, 0).end()
    while True:
        name = _expect(_KEY, text, at)
        key = json.loads(f'"{name[1]}"') if "\\" in name[1] else name[1]
        value, end = _value_at(text, name.end())
        yield key, value, name.end(), end
        after = _expect(_AFTER, text, end)
        if after[1] != ",":
            return
        at = after.end()


def _expect(sign: re.Pattern[str], text: str, at: int) -> re.Match[str]:
    match = sign.match(text, at)
    if match is None:
        raise Malformed(f"not a JSON object at {at}")
    return match
