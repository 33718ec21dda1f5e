"""Small pieces that the providers' tests share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any

from api.events import Usage
from api.providers.base import ChatProvider, Chunk, GenerationOptions
from api.providers.choice import Providers, Switched
from api.providers.openai.pool import Upstream as Pool
from api.providers.openai.provider import OpenAICompatible
from api.providers.openai.upstreams import Upstreams
from api.settings import Endpoint
from retrieval.corpus.faq import Faq
from retrieval.prompt import Exchange, GroundedPrompt, ground
from tests.api.providers.upstream import MODEL, Upstream

_TITLE = "반품 배송비는 누가 내나요?"
FAQ = Faq("0123456789ab", _TITLE, "단순 변심이면 구매자가 냅니다.", (), (), _TITLE)
OPTIONS = GenerationOptions(max_tokens=100)


def prompt(question: str = "반품 배송비는?", history: tuple[Exchange, ...] = ()) -> GroundedPrompt:
    """A grounded prompt over one FAQ."""
    return ground(question, [FAQ], system="FAQ로만 답하세요.", history=history)


def endpoint(server: Upstream, fault: str = "none", phase: str = "before", **options: Any) -> Endpoint:
    """Settings of a server with this fault; short times, no retries."""
    given = {"first_token_timeout_s": 0.5, "between_tokens_timeout_s": 0.5, "max_retries": 0} | options
    return Endpoint(base_url=server.url(fault, phase), model=MODEL, third_party=False).model_copy(
        update=given
    )


@asynccontextmanager
async def providers_for(endpoints: dict[str, Endpoint]) -> AsyncIterator[dict[str, ChatProvider]]:
    """An open provider for each endpoint."""
    async with AsyncExitStack() as stack:
        opened: dict[str, ChatProvider] = {}
        for name, each in endpoints.items():
            key = each.api_key.get_secret_value()
            pools = [await stack.enter_async_context(Pool(name, u, api_key=key)) for u in each.base_urls]
            opened[name] = OpenAICompatible(name, each, Upstreams(name, pools))
        yield opened


@asynccontextmanager
async def provider(server: Upstream, *path: str, **options: Any) -> AsyncIterator[OpenAICompatible]:
    """One open provider."""
    async with providers_for({"small": endpoint(server, *path, **options)}) as opened:
        found = opened["small"]
        assert isinstance(found, OpenAICompatible)
        yield found


async def collect(stream: AsyncIterator[Chunk]) -> tuple[list[str], Usage]:
    """The texts and the last usage."""
    texts, usage = [], Usage()
    async for chunk in stream:
        if chunk.text:
            texts.append(chunk.text)
        usage = chunk.usage or usage
    return texts, usage


async def seen(
    providers: Providers, name: str, options: GenerationOptions = OPTIONS
) -> tuple[str, list[Switched]]:
    """What a reader is left with, who starts anew with each switch; and the switches."""
    text, switches = "", []
    async with aclosing(providers.stream(name, prompt(), options)) as stream:
        async for item in stream:
            if isinstance(item, Switched):
                text = ""
                switches.append(item)
            else:
                text += item.text
    return text, switches


async def until(condition: Callable[[], object], *, within_s: float = 2.0) -> float:
    """Waits for `condition()`; returns how many seconds it took, fails after `within_s`."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < within_s, f"not within {within_s} s"
        await asyncio.sleep(0.005)
    return time.monotonic() - started
