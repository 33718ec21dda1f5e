"""Which provider answers: by name, with an ordered fallback.

Knows names, the order to try them in, and how each has done lately; knows nothing of prompts
or routes.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractContextManager, aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from opentelemetry.trace import Span, SpanKind

from api.errors import ProviderError, ProviderRejected, UnknownProvider
from api.events import Usage
from api.observability.tracing import tracer
from api.providers.base import ChatProvider, Chunk, GenerationOptions
from api.providers.breaker import CircuitBreaker
from api.providers.health import HealthProbes
from api.providers.model_alias import ModelAlias
from api.providers.stats import Outcome, ProviderStats
from retrieval.prompt import GroundedPrompt

if TYPE_CHECKING:
    from api.providers.openai.upstreams import Upstreams

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Switched:
    """From here on another provider answers, or another server of the same one, from the beginning.

    `silent` is true where nothing had been shown yet.
    """

    from_: str
    to: str
    reason: str
    silent: bool


class Providers:
    """The configured providers, in the order in which they stand in for each other.

    Args:
        providers: by name.
        default: who answers where nobody is named.
        fallback: who stands in for one that fails, in order.
        breaker: leaves providers alone that keep failing; None asks them every time.
        stats: where answers are counted.
        health: what GET /providers tells.
        aliases: of the providers whose model stands for another one.
        upstreams: the servers of those that have any. With several, each has a breaker of its own
            in place of the provider's.
    """

    def __init__(
        self,
        providers: Mapping[str, ChatProvider],
        *,
        default: str,
        fallback: Sequence[str] = (),
        breaker: CircuitBreaker | None = None,
        stats: ProviderStats | None = None,
        health: HealthProbes | None = None,
        aliases: Mapping[str, ModelAlias] | None = None,
        upstreams: Mapping[str, Upstreams] | None = None,
    ) -> None:
        self._providers = dict(providers)
        self.default, self.fallback = default, tuple(fallback)
        self.breaker, self.stats = breaker, stats
        self.health = health or HealthProbes({})
        self._aliases = dict(aliases or {})
        self.upstreams = dict(upstreams or {})

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

    def model_of(self, name: str | None, session_id: str) -> str:
        """The model that answers this session, aliases resolved. Raises `UnknownProvider`."""
        provider = self.get(name)
        alias = self._aliases.get(provider.name)
        return alias.resolve(session_id) if alias else provider.model

    async def stream(
        self, name: str, prompt: GroundedPrompt, options: GenerationOptions
    ) -> AsyncGenerator[Chunk | Switched]:
        """Streams `name`'s answer; on failure the next fallback starts it again.

        An answer that broke off is first begun again on another server of the same provider, if it has one.
        Raises the last `ProviderError` when no provider is left.
        """
        current, restarts = name, self._restarts(name)
        waiting = [f for f in self.fallback if f != name]
        while True:
            shown = False
            try:
                async with aclosing(self.stream_from(current, prompt, options)) as chunks:
                    async for chunk in chunks:
                        shown = shown or bool(chunk.text)
                        yield chunk
                return
            except ProviderError as exc:
                again = shown and restarts > 0 and exc.retryable
                if not again and not waiting:
                    raise
                log.warning("provider_failed", provider=current, code=exc.code, error=str(exc))
                after = current if again else waiting.pop(0)
                restarts = restarts - 1 if again else self._restarts(after)
                yield Switched(current, after, exc.code, silent=not shown)
                current = after

    def _restarts(self, name: str) -> int:
        """How many other servers a provider has for an answer that broke off."""
        return len(self.upstreams[name].servers) - 1 if name in self.upstreams else 0

    async def stream_from(
        self, name: str, prompt: GroundedPrompt, options: GenerationOptions
    ) -> AsyncGenerator[Chunk]:
        """One provider's answer without fallback, counted and watched by its breaker.

        Raises `ProviderError`; `BreakerOpen` where the provider is being left alone.
        """
        provider = self.get(name)
        await self.enter(name)
        started, first_token_s = time.perf_counter(), None
        usage: Usage | None = None
        outcome: Outcome = "left"
        with _chat_span(name, self.model_of(name, options.session or "")) as span:
            try:
                async with aclosing(provider.stream(prompt, options)) as chunks:
                    async for chunk in chunks:
                        if first_token_s is None and chunk.text:
                            first_token_s = time.perf_counter() - started
                        usage = chunk.usage or usage
                        yield chunk
                outcome = "answered"
            except ProviderError as exc:
                outcome = "rejected" if isinstance(exc, ProviderRejected) else "failed"
                raise
            finally:
                if usage is not None:
                    span.set_attribute("gen_ai.usage.input_tokens", usage.prompt_tokens)
                    span.set_attribute("gen_ai.usage.output_tokens", usage.completion_tokens)
                total_s = time.perf_counter() - started
                await self.settle(name, outcome, usage=usage, first_token_s=first_token_s, total_s=total_s)

    async def enter(self, name: str) -> None:
        """Asks to use a provider. Raises `BreakerOpen` where it is being left alone."""
        if self.breaker is not None and not self._restarts(name):
            await self.breaker.enter(name)

    async def settle(
        self,
        name: str,
        outcome: Outcome,
        *,
        usage: Usage | None,
        first_token_s: float | None,
        total_s: float,
    ) -> None:
        """Counts one use of a provider and tells its breaker; follows every `enter`."""
        if self.stats is not None:
            self.stats.record(name, outcome, usage=usage, first_token_s=first_token_s, total_s=total_s)
        await self._tell_breaker(name, outcome, began=first_token_s is not None)

    async def _tell_breaker(self, name: str, outcome: Outcome, *, began: bool) -> None:
        """A refused request says nothing of the next one; an answer that was left, if it had begun."""
        if self.breaker is None or self._restarts(name):
            return
        if outcome == "failed":
            await self.breaker.failed(name)
        elif outcome == "answered" or (outcome == "left" and began):
            await self.breaker.succeeded(name)
        else:
            await self.breaker.left(name)


def _chat_span(provider: str, model: str) -> AbstractContextManager[Span]:
    """The span of one request to a model, by the GenAI semantic conventions."""
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": model,
    }
    return tracer.start_as_current_span(f"chat {model}", kind=SpanKind.CLIENT, attributes=attributes)
