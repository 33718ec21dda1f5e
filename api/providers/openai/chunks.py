"""Reads the chunks of one streamed chat completion: visible text, usage, the end.

Knows OpenAI's chunk format, what vLLM and others add to it, and prices; no network and no time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from api.events import FinishReason, Usage
from api.providers.openai.reasoning import ReasoningFilter
from retrieval.characters import is_blank, shown

_CHARS_PER_TOKEN = 2
_MOST_CHARS_PER_TOKEN = 16
_MOST_TOKENS = 10**8
# What servers say besides OpenAI's own words; whatever is in neither list counts as `stop`.
_FINISH: Mapping[str, FinishReason] = {
    "length": "length", "max_tokens": "length", "model_length": "length",
    "content_filter": "content_filter", "safety": "content_filter", "refusal": "content_filter",
    "tool_calls": "tool_calls", "function_call": "tool_calls", "tool_use": "tool_calls",
}  # fmt: skip


class BadChunk(Exception):
    """The server sent something that is no chunk of a chat completion, or says that it failed."""


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens."""

    input: float = 0.0
    output: float = 0.0

    def of(self, prompt_tokens: int, completion_tokens: int) -> float:
        """The price of one answer, in US dollars."""
        return (prompt_tokens * self.input + completion_tokens * self.output) / 1e6


class Completion:
    """One answer as it arrives.

    Attributes:
        ended: the server said that the answer is complete.
        done: and that nothing else follows.
        progress: pieces received, shown or not.
        visible: something that can be seen was returned.

    Args:
        prompt_chars: length of what was asked, to estimate its tokens until they are reported.
        max_tokens: what was asked for as the bound.
        price: of the model.
        opens_thinking: see `ReasoningFilter`.
    """

    def __init__(
        self, prompt_chars: int, max_tokens: int, price: Price, *, opens_thinking: bool = False
    ) -> None:
        self._filter = ReasoningFilter(opened=opens_thinking)
        self._prompt_tokens = -(-prompt_chars // _CHARS_PER_TOKEN)
        self._max_tokens, self._price = max_tokens, price
        self._reported: tuple[int, int] | None = None
        self._chars = 0
        self._finish: FinishReason = "stop"
        self._half = ""
        self.ended, self.done, self.progress, self.visible = False, False, 0, False

    @property
    def overlong(self) -> bool:
        """The server writes on beyond the bound it was given: a piece is a token at least."""
        return self.progress > self._max_tokens or self._chars >= self._max_tokens * _MOST_CHARS_PER_TOKEN

    @property
    def finish_reason(self) -> FinishReason:
        """Why the answer ended; a block of thoughts that never ended has swallowed the rest of it."""
        cut = self.overlong or self._filter.inside
        return "length" if cut and self._finish == "stop" else self._finish

    def read(self, data: bytes) -> str:
        """Takes one event's data and returns the text to show (possibly none).

        Once the answer has ended only usage is read, and nothing fails any more. Raises `BadChunk`.
        """
        if self.done:
            return ""
        if data == b"[DONE]":
            self.ended = self.done = True
            return ""
        try:
            chunk: Any = _parsed(data)
            self._reported = _counts(chunk.get("usage")) or self._reported
            if self.ended:
                return ""
            if chunk.get("error"):
                raise BadChunk(f"error in the stream: {data[:300].decode(errors='replace')}")
            text = "".join(
                self._choice(choice) for choice in chunk.get("choices") or () if not choice.get("index")
            )
        except (ValueError, TypeError, KeyError, AttributeError) as exc:
            if self.ended:
                return ""
            raise BadChunk(f"no chunk: {data[:300].decode(errors='replace')}") from exc
        return self._seen(text)

    def rest(self) -> str:
        """The text that was held back at the end of the answer."""
        return self._seen(self._filter.flush())

    def usage(self) -> Usage:
        """Tokens and price so far: as reported, else estimated from the length."""
        estimate = self._prompt_tokens, max(self.progress, -(-self._chars // _CHARS_PER_TOKEN))
        prompt, completion = self._reported or estimate
        return Usage(
            prompt_tokens=prompt,
            completion_tokens=completion,
            cost_usd=self._price.of(prompt, completion),
            estimated=self._reported is None,
        )

    def _choice(self, choice: dict[str, Any]) -> str:
        """Text of one choice; reasoning (`reasoning_content`, `reasoning`) counts as progress only."""
        reason = choice.get("finish_reason")
        # Some servers put an empty reason into every chunk.
        if reason:
            self.ended, self._finish = True, _FINISH.get(str(reason).lower(), "stop")
        delta = choice.get("delta") or {}
        content = self._whole_characters(_text_of(delta.get("content")))
        reasoning = _text_of(delta.get("reasoning_content") or delta.get("reasoning"))
        if not content and not reasoning:
            return ""
        self.progress += 1
        # Cut before it is shown: one piece may be longer than a whole answer may be.
        content = content[: max(0, self._max_tokens * _MOST_CHARS_PER_TOKEN - self._chars)]
        self._chars += len(content) + len(reasoning)
        return self._filter.feed(shown(content)) if content else ""

    def _whole_characters(self, content: str) -> str:
        """Joins the two halves of a surrogate pair, which may come in two pieces."""
        content, self._half = self._half + content, ""
        if content and "\ud800" <= content[-1] <= "\udbff":
            content, self._half = content[:-1], content[-1]
        if any("\ud800" <= c <= "\udfff" for c in content):
            return content.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return content

    def _seen(self, text: str) -> str:
        self.visible = self.visible or not is_blank(text)
        return text


def _parsed(data: bytes) -> Any:
    """The JSON of a chunk; half a surrogate pair is let through, since its other half may follow."""
    try:
        return from_json(data)
    except ValueError:
        if b"\\ud" not in data.lower():
            raise
        return json.loads(data)


def _text_of(content: Any) -> str:
    """A delta's text: a string, or the text parts of a list."""
    if isinstance(content, list):
        return "".join(_text_of(part.get("text")) for part in content)
    if content is not None and not isinstance(content, str):
        raise TypeError("content is no text")
    return content or ""


def _counts(usage: Any) -> tuple[int, int] | None:
    """Tokens as reported; None for anything but two counts: they are estimated then."""
    if not isinstance(usage, dict):
        return None
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if not all(type(n) is int and 0 <= n <= _MOST_TOKENS for n in (prompt, completion)):
        return None
    return prompt, completion  # type: ignore[return-value]
