"""Exact cache of first answers: the same question, asked again, is answered from the state store.

A key holds everything an answer depends on: index, code and data files, settings, provider and
model, options, and the question in normal form. So nothing is ever purged: when any of it moves,
old entries are no longer asked for, and expire. Follow-ups are never cached.

Knows events and the store; not how answers are made.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
import unicodedata
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from pydantic import TypeAdapter, ValidationError

from api.conversation.memory import Memory
from api.errors import StateUnavailable
from api.events import (
    Delta,
    ProviderSwitched,
    TurnCompleted,
    TurnEvent,
    TurnFailed,
    TurnStarted,
    Usage,
)
from api.providers.base import GenerationOptions
from api.providers.choice import Providers
from api.settings import CONFIGS, ROOT, Settings
from api.state.connection import State
from api.turns.run import Conversation
from api.turns.runners.base import TurnRequest

_EVENTS: TypeAdapter[list[TurnEvent]] = TypeAdapter(list[TurnEvent])
_BLANK = re.compile(r"[\s\u200b\ufeff]+")
_CODE = ("api", "retrieval")
_DATA = ("prompts", "ranking", "scope")


def normal_form(question: str) -> str:
    """What two ways of typing one question have in common: width, case, blanks, final marks."""
    text = _BLANK.sub(" ", unicodedata.normalize("NFKC", question)).casefold()
    return text.strip().rstrip("?!.~… ")


def answer_version(settings: Settings) -> str:
    """A hash of what makes answers besides the index: code, prompts, rankers, settings."""
    digest = hashlib.sha256()
    files = [path for name in _CODE for path in (ROOT / name).rglob("*.py")]
    files += [path for name in _DATA for path in (CONFIGS / name).rglob("*") if path.is_file()]
    for path in sorted(files):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    endpoints = {
        name: endpoint.model_dump(mode="json", exclude={"api_key"})
        for name, endpoint in settings.providers.endpoints.items()
    }
    sections = [s.model_dump(mode="json") for s in (settings.conversation, settings.reranker)]
    digest.update(json.dumps([*sections, endpoints]).encode())
    return digest.hexdigest()[:16]


class AnswerCache:
    """Answers in the state store, for `ttl_s` seconds; a store that is away has none."""

    def __init__(self, state: State, *, version: str, ttl_s: int) -> None:
        self._state, self._version, self._ttl_s = state, version, ttl_s

    def key(self, request: TurnRequest, *, index: str, model: str) -> str:
        """The key of this question, asked of this index and model."""
        options = request.options
        sampled = [options.max_tokens, options.temperature, options.stop]
        parts = [self._version, index, request.provider, model, sampled, normal_form(request.question)]
        digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
        return self._state.key("answer", digest)

    async def get(self, key: str) -> list[TurnEvent] | None:
        """The events of the answer, if there is one."""
        try:
            found = await self._state.call(self._state.redis.get(key))
            return _EVENTS.validate_json(found) if found else None
        except (StateUnavailable, ValidationError):
            return None

    async def put(self, key: str, events: list[TurnEvent]) -> None:
        """Keeps the events of an answer."""
        try:
            content = _EVENTS.dump_json(events, by_alias=True)
            await self._state.call(self._state.redis.set(key, content, ex=self._ttl_s))
        except StateUnavailable:
            pass


class CachedConversation:
    """A conversation that answers a repeated first question from the cache.

    Args:
        conversation: answers what is not there.
        cache: where answers are kept.
        providers: which model a provider's name stands for.
        index: gives the fingerprint of the index in use.
    """

    def __init__(
        self,
        conversation: Conversation,
        cache: AnswerCache,
        *,
        providers: Providers,
        index: Callable[[], str],
    ) -> None:
        self._conversation, self._cache = conversation, cache
        self._providers, self._index = providers, index

    async def answer(self, request: TurnRequest, memory: Memory) -> AsyncGenerator[TurnEvent]:
        """The events of the turn; `turn.completed` says whether they were `cached`."""
        if memory.turns or request.history or not _repeatable(request.options):
            async with aclosing(self._conversation.answer(request, memory)) as events:
                async for event in events:
                    yield event
            return
        started = time.perf_counter()
        model = self._providers.model_of(request.provider, request.session_id)
        key = self._cache.key(request, index=self._index(), model=model)
        kept = await self._cache.get(key)
        if kept is None:
            async with aclosing(self._answered(request, memory, key)) as events:
                async for event in events:
                    yield event
            return
        yield TurnStarted(
            turn_id=request.turn_id, session_id=request.session_id, provider=request.provider, model=model
        )
        for event in kept:
            if isinstance(event, TurnCompleted):
                took = round((time.perf_counter() - started) * 1000, 2)
                times = {"cache": took, "first_delta": took, "total": took}
                event = event.model_copy(update={"cached": True, "usage": Usage(), "timings_ms": times})
            yield event

    async def _answered(self, request: TurnRequest, memory: Memory, key: str) -> AsyncGenerator[TurnEvent]:
        """The conversation's events, kept if this provider gave the whole answer."""
        kept: list[TurnEvent] = []
        whole = True
        async with aclosing(self._conversation.answer(request, memory)) as events:
            async for event in events:
                match event:
                    case TurnStarted():
                        pass
                    case ProviderSwitched() | TurnFailed():
                        whole = False
                    case Delta() if kept and isinstance(kept[-1], Delta):
                        kept[-1] = Delta(text=kept[-1].text + event.text)
                    case TurnCompleted():
                        own = event.provider == request.provider and not event.stopped
                        whole = whole and not event.truncated and event.verdict != "unsure"
                        if whole and own and event.index == self._index():
                            await self._cache.put(key, [*kept, event])
                    case _:
                        kept.append(event)
                yield event


def _repeatable(options: GenerationOptions) -> bool:
    """False where the caller asked for chance: then the same question may get another answer."""
    return not options.temperature and options.top_p is None and options.seed is None
