"""Opens the configured providers by name; imports an implementation only when it is needed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from api.providers.choice import Providers
from api.providers.extractive import Extractive
from api.settings import Settings
from api.state.connection import State
from retrieval.tokenizer import KoreanTokenizer


@asynccontextmanager
async def open_providers(
    settings: Settings, tokenizer: KoreanTokenizer, *, state: State | None = None
) -> AsyncIterator[Providers]:
    """Opens every provider of the settings; closes their connections at the end."""
    chosen = settings.providers
    providers = {"extractive": Extractive(tokenizer)}
    yield Providers(providers, default=chosen.default, fallback=chosen.fallback)
