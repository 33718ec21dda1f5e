"""Opens the configured providers by name; imports an implementation only when it is needed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import structlog

from api.providers.base import ChatProvider
from api.providers.breaker import CircuitBreaker
from api.providers.choice import Providers
from api.providers.extractive import Extractive
from api.providers.health import HealthProbes, Probe
from api.providers.model_alias import ModelAlias
from api.providers.stats import open_stats
from api.settings import Endpoint, Settings
from api.state.connection import State
from retrieval.tokenizer import KoreanTokenizer

if TYPE_CHECKING:
    from api.providers.openai.upstreams import Upstreams

log = structlog.get_logger(__name__)
# One of several servers is asked for its models before it gets a turn again: trying costs nobody anything.
_LONGEST_REST_S = 20.0


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
        upstreams: dict[str, Upstreams] = {}
        breaker, server_breaker, stats = None, None, None
        if state is not None:
            failures, open_s = chosen.breaker_failures, chosen.breaker_open_s
            breaker = CircuitBreaker(state, failures=failures, open_s=open_s)
            server_breaker = CircuitBreaker(
                state, failures=failures, open_s=open_s, longest_s=max(open_s, _LONGEST_REST_S)
            )
            stats = await stack.enter_async_context(open_stats(state))
        for name, endpoint in chosen.endpoints.items():
            from api.providers.openai.provider import OpenAICompatible

            servers = upstreams[name] = await _open_upstreams(stack, name, endpoint, server_breaker)
            mask = settings.conversation.mask_personal_data
            if endpoint.alias_file:
                aliases[name] = ModelAlias(endpoint.model, settings.path(endpoint.alias_file))
            provider = OpenAICompatible(name, endpoint, servers, mask=mask, alias=aliases.get(name))
            opened[name] = provider
            probes |= {server.key: partial(provider.probe, server) for server in servers.servers}
        health = HealthProbes(probes)
        stack.push_async_callback(health.aclose)
        yield Providers(
            opened,
            default=chosen.default,
            fallback=chosen.fallback,
            breaker=breaker,
            stats=stats,
            health=health,
            aliases=aliases,
            upstreams=upstreams,
        )


async def _open_upstreams(
    stack: AsyncExitStack, name: str, endpoint: Endpoint, breaker: CircuitBreaker | None
) -> Upstreams:
    """Connections to each server of an endpoint."""
    from api.providers.openai.pool import Upstream
    from api.providers.openai.upstreams import Upstreams

    pools = [
        await stack.enter_async_context(
            Upstream(
                name,
                url,
                api_key=endpoint.api_key.get_secret_value(),
                max_connections=endpoint.max_connections,
                connect_timeout_s=endpoint.connect_timeout_s,
            )
        )
        for url in endpoint.base_urls
    ]
    return Upstreams(name, pools, breaker=breaker if len(pools) > 1 else None)


def warn_of_missing_key(settings: Settings) -> None:
    """Says at start that a fallback will answer in the default provider's place for want of its key."""
    if settings.providers.default_lacks_key:
        log.warning(
            "default_provider_has_no_key",
            provider=settings.providers.default,
            answers_instead=", ".join(settings.providers.fallback) or "nobody",
            set=settings.key_variable,
        )
