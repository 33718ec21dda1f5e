"""Reads the chunks of one streamed chat completion: visible text, usage, the end.

Knows OpenAI's chunk format, what vLLM and others add to it, and prices; no network and no time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from api.events import Usage
from api.providers.openai.reasoning import ReasoningFilter

_CHARS_PER_TOKEN = 2
_MOST_CHARS_PER_TOKEN = 16


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
        self.ended, self.done, self.progress = False, False, 0

    @property
    def overlong(self) -> bool:
        """The server writes on beyond the bound it was given: a piece is a token at least."""
        return self.progress > self._max_tokens or self._chars > self._max_tokens * _MOST_CHARS_PER_TOKEN

    def read(self, data: bytes) -> str:
        """Takes one event's data and returns the text to show (possibly none). Raises `BadChunk`."""
        if data == b"[DONE]":
            self.ended = self.done = True
            return ""
        try:
            chunk: Any = from_json(data)
            if chunk.get("error"):
                raise BadChunk(f"error in the stream: {data[:300].decode(errors='replace')}")
            if usage := chunk.get("usage"):
                self._reported = int(usage["prompt_tokens"]), int(usage["completion_tokens"])
            return "".join(
                self._choice(choice) for choice in chunk.get("choices") or () if not choice.get("index")
            )
        except (ValueError, TypeError, KeyError, AttributeError) as exc:
            raise BadChunk(f"no chunk: {data[:300].decode(errors='replace')}") from exc

    def rest(self) -> str:
        """The text that was held back at the end of the answer."""
        return self._filter.flush()

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
        self.ended = self.ended or choice.get("finish_reason") is not None
        delta = choice.get("delta") or {}
        content: str = delta.get("content") or ""
        reasoning: str = delta.get("reasoning_content") or delta.get("reasoning") or ""
        if not content and not reasoning:
            return ""
        self.progress += 1
        self._chars += len(content) + len(reasoning)
        return self._filter.feed(content) if content else ""
