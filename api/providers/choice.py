"""Which provider answers: by name, with an ordered fallback.

Knows names and the order to try them in; knows nothing of prompts or routes.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass

import structlog

from api.errors import ProviderError, UnknownProvider
from api.providers.base import ChatProvider, Chunk, GenerationOptions
from retrieval.prompt import GroundedPrompt

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Switched:
    """From here on another provider answers, from the beginning.

    `silent` is true where nothing had been shown yet.
    """

    from_: str
    to: str
    reason: str
    silent: bool


class Providers:
    """The configured providers, in the order in which they stand in for each other."""

    def __init__(
        self, providers: Mapping[str, ChatProvider], *, default: str, fallback: Sequence[str] = ()
    ) -> None:
        self._providers = dict(providers)
        self.default = default
        self._fallback = tuple(fallback)

    @property
    def names(self) -> tuple[str, ...]:
        """Every name a request may give."""
        return tuple(self._providers)

    def get(self, name: str | None) -> ChatProvider:
        """The provider called `name`, the default for None. Raises `UnknownProvider`."""
        name = name or self.default
        if name not in self._providers:
            raise UnknownProvider(name, self.names)
        return self._providers[name]

    async def stream(
        self, name: str, prompt: GroundedPrompt, options: GenerationOptions
    ) -> AsyncGenerator[Chunk | Switched]:
        """Streams `name`'s answer; on failure the next fallback starts it again.

        Raises the last `ProviderError` when no provider is left.
        """
        order = [name, *(f for f in self._fallback if f != name)]
        for position, current in enumerate(order):
            shown = False
            try:
                async for chunk in self.get(current).stream(prompt, options):
                    shown = shown or bool(chunk.text)
                    yield chunk
                return
            except ProviderError as exc:
                if position + 1 == len(order):
                    raise
                log.warning("provider_failed", provider=current, code=exc.code, error=exc.message)
                yield Switched(current, order[position + 1], exc.code, silent=not shown)
