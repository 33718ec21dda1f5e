"""The provider seam: a grounded prompt in, a stream of text out.

Knows nothing of HTTP routes, sessions or retrieval.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from api.events import FinishReason, Usage
from retrieval.prompt import GroundedPrompt


@dataclass(frozen=True, slots=True)
class GenerationOptions:
    """Sampling options of one answer; None leaves the provider's default.

    Attributes:
        max_tokens: bound on the answer's length, in tokens.
        temperature: 0 is greedy.
        top_p: nucleus sampling mass.
        stop: sequences that end the answer.
        seed: for reproducible sampling where the provider has it.
        user: an opaque id of the end user, passed on to the provider.
        session: keeps a conversation on one side of an A/B split; never leaves this process.
    """

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    user: str | None = None
    session: str | None = None


@dataclass(frozen=True, slots=True)
class Trimmed:
    """What of a prompt the model's context window had no room for.

    Attributes:
        exchanges: how many of the oldest exchanges were left out.
        passages: how many of the last passages were left out.
    """

    exchanges: int = 0
    passages: int = 0


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of an answer; the last one carries the usage and why the answer ended.

    `trimmed` comes before the first text, where the model is not given the whole prompt.
    """

    text: str = ""
    usage: Usage | None = None
    finish: FinishReason | None = None
    trimmed: Trimmed | None = None


class ChatProvider(Protocol):
    """Answers grounded prompts, always as a stream.

    `name` is what settings and requests call it, `model` what it runs, `llm` whether
    it can follow instructions (rewriting a question needs that), `third_party` whether
    text leaves the operator's machines (personal data is masked then).
    """

    name: str
    model: str
    llm: bool
    third_party: bool

    def stream(self, prompt: GroundedPrompt, options: GenerationOptions) -> AsyncGenerator[Chunk]:
        """Streams the answer; closing the iterator stops the upstream at once.

        Raises `ProviderError` (see `api.errors`): `retryable` says whether another
        attempt or another provider may succeed.
        """
        ...


async def full_answer(stream: AsyncIterator[Chunk]) -> tuple[str, Usage]:
    """Joins a stream into the whole answer and its usage."""
    pieces: list[str] = []
    usage = Usage()
    async for chunk in stream:
        pieces.append(chunk.text)
        usage = chunk.usage or usage
    return "".join(pieces), usage
