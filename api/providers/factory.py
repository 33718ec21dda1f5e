"""Opens the configured providers by name; imports an implementation only when it is needed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from api.providers.base import ChatProvider
from api.providers.breaker import CircuitBreaker
from api.providers.choice import Providers
from api.providers.extractive import Extractive
from api.providers.health import HealthProbes, Probe
from api.providers.model_alias import ModelAlias
from api.providers.stats import open_stats
from api.settings import Settings
from api.state.connection import State
from retrieval.tokenizer import KoreanTokenizer


@asynccontextmanager
async def open_providers(
    settings: Settings, tokenizer: KoreanTokenizer, *, state: State | None = None
) -> AsyncIterator[Providers]:
    """Opens every provider of the settings; closes their connections at the end.

    Without `state` nothing is counted and no breaker watches: evaluations need neither.
    """
    chosen = settings.providers
    async with AsyncExitStack() as stack:
        opened: dict[str, ChatProvider] = {"extractive": Extractive(tokenizer)}
        probes: dict[str, Probe] = {}
        aliases: dict[str, ModelAlias] = {}
        for name, endpoint in chosen.endpoints.items():
            from api.providers.openai.pool import Upstream
            from api.providers.openai.provider import OpenAICompatible

            upstream = await stack.enter_async_context(
                Upstream(
                    name,
                    endpoint.base_url,
                    api_key=endpoint.api_key.get_secret_value(),
                    max_connections=endpoint.max_connections,
                    connect_timeout_s=endpoint.connect_timeout_s,
                )
            )
            mask = settings.conversation.mask_personal_data
            if endpoint.alias_file:
                aliases[name] = ModelAlias(endpoint.model, settings.path(endpoint.alias_file))
            provider = OpenAICompatible(name, endpoint, upstream, mask=mask, alias=aliases.get(name))
            opened[name], probes[name] = provider, provider.probe
        health = HealthProbes(probes)
        stack.push_async_callback(health.aclose)
        breaker, stats = None, None
        if state is not None:
            breaker = CircuitBreaker(state, failures=chosen.breaker_failures, open_s=chosen.breaker_open_s)
            stats = await stack.enter_async_context(open_stats(state))
        yield Providers(
            opened,
            default=chosen.default,
            fallback=chosen.fallback,
            breaker=breaker,
            stats=stats,
            health=health,
            aliases=aliases,
        )
