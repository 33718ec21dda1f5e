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
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

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
from api.providers.choice import Providers
from api.settings import CONFIGS, ROOT, Settings
from api.state.connection import State
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
    """Answers in the state store, for `ttl_s` seconds; a store that is away has none.

    Args:
        state: the store.
        version: of what makes answers besides the index, see `answer_version`.
        ttl_s: life of an answer in seconds.
        providers: which model a provider's name stands for.
        index: gives the fingerprint of the index in use.
    """

    def __init__(
        self,
        state: State,
        *,
        version: str,
        ttl_s: int,
        providers: Providers,
        index: Callable[[], str],
    ) -> None:
        self._state, self._version, self._ttl_s = state, version, ttl_s
        self._providers, self._index = providers, index

    async def get(self, request: TurnRequest, memory: Memory) -> list[TurnEvent] | None:
        """The events of an earlier answer as events of this turn; None where there is none."""
        started = time.perf_counter()
        if not _repeatable(request, memory):
            return None
        model = self._providers.model_of(request.provider, request.session_id)
        try:
            entry = await self._state.call(self._state.redis.get(self._key(request, model)))
            stored = _EVENTS.validate_json(entry) if entry else None
        except (StateUnavailable, ValidationError):
            return None
        if stored is None:
            return None
        took = round((time.perf_counter() - started) * 1000, 2)
        times = {"cache": took, "first_delta": took, "total": took}
        final = stored[-1].model_copy(update={"cached": True, "usage": Usage(), "timings_ms": times})
        begin = TurnStarted(
            turn_id=request.turn_id, session_id=request.session_id,
            provider=request.provider, model=model,
        )  # fmt: skip
        return [begin, *stored[:-1], final]

    @asynccontextmanager
    async def storing(
        self, request: TurnRequest, memory: Memory
    ) -> AsyncIterator[Callable[[TurnEvent], None]]:
        """Looks at the events of a turn and keeps them if its own provider gave the whole answer."""
        if not _repeatable(request, memory):
            yield lambda _event: None
            return
        recording = _Recording(request.provider)
        yield recording.add
        final = recording.final
        if final is not None and final.index == self._index():
            content = _EVENTS.dump_json([*recording.events, final], by_alias=True)
            key = self._key(request, recording.model)
            with suppress(StateUnavailable):
                await self._state.call(self._state.redis.set(key, content, ex=self._ttl_s))

    def _key(self, request: TurnRequest, model: str) -> str:
        """The key of this question, asked of the current index and of `model`."""
        options = request.options
        sampled = [options.max_tokens, options.temperature, options.stop]
        asked = [request.provider, model, sampled, normal_form(request.question)]
        digest = hashlib.sha256(json.dumps([self._version, self._index(), *asked]).encode()).hexdigest()
        return self._state.key("answer", digest)


class _Recording:
    """The events of one turn as they are kept; `final` is None until they are worth keeping."""

    def __init__(self, provider: str) -> None:
        self._provider, self._whole, self.model = provider, True, ""
        self.events: list[TurnEvent] = []
        self.final: TurnCompleted | None = None

    def add(self, event: TurnEvent) -> None:
        match event:
            case TurnStarted():
                self.model = event.model
            case ProviderSwitched() | TurnFailed():
                self._whole = False
            case Delta() if self.events and isinstance(self.events[-1], Delta):
                self.events[-1] = Delta(text=self.events[-1].text + event.text)
            case TurnCompleted():
                own = event.provider == self._provider and not event.cached
                answered = event.verdict != "unsure" and not event.stopped and not event.truncated
                self.final = event if self._whole and own and answered else None
            case _:
                self.events.append(event)


def _repeatable(request: TurnRequest, memory: Memory) -> bool:
    """First questions only, and none whose caller asked for chance: those may get another answer."""
    options = request.options
    first = not memory.turns and not request.history
    return first and not options.temperature and options.top_p is None and options.seed is None
