"""How a process answers turns: by its conversation or from the cache, with observers looking on."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from api.conversation.answer_cache import AnswerCache
from api.conversation.memory import Memory
from api.events import TurnEvent
from api.turns.runners.base import TurnRequest

Observe = Callable[[TurnEvent], None]


class Answerer(Protocol):
    """Answers one question as a stream of events that ends with a final one. Stateless."""

    def answer(self, request: TurnRequest, memory: Memory) -> AsyncGenerator[TurnEvent]:
        """Closing the iterator stops all work for the answer at once."""
        ...


class Observer(Protocol):
    """Looks at the events of turns: metrics, traces, the cache."""

    def __call__(self, request: TurnRequest, memory: Memory) -> AbstractAsyncContextManager[Observe]:
        """Open while the turn runs; what it gives is called with every event, the final one included."""
        ...


@dataclass(frozen=True, slots=True)
class Answering:
    """What a run needs to answer.

    Attributes:
        answerer: answers what is not in the cache.
        cache: answers to first questions that were asked before.
        observers: look at the events of every turn.
    """

    answerer: Answerer
    cache: AnswerCache | None = None
    observers: tuple[Observer, ...] = ()

    async def events(self, request: TurnRequest, memory: Memory) -> AsyncGenerator[TurnEvent]:
        """The events of the turn, still to be iterated."""
        cached = await self.cache.get(request, memory) if self.cache is not None else None
        return self.answerer.answer(request, memory) if cached is None else _replay(cached)

    @asynccontextmanager
    async def observed(self, request: TurnRequest, memory: Memory) -> AsyncIterator[Observe]:
        """Opens every observer; gives the function that shows them an event."""
        async with AsyncExitStack() as stack:
            observing = [await stack.enter_async_context(each(request, memory)) for each in self.observers]
            if self.cache is not None:
                observing.append(await stack.enter_async_context(self.cache.storing(request, memory)))

            def observe(event: TurnEvent) -> None:
                for each in observing:
                    each(event)

            yield observe


async def _replay(events: list[TurnEvent]) -> AsyncGenerator[TurnEvent]:
    for event in events:
        yield event
