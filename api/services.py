"""The composition root: joins what the rooms' own `opening.py` open, for the app and the worker.

Resources open in order and close in reverse.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass

from api.access.auth import Access
from api.access.keys import Key
from api.access.opening import check_keys, open_access
from api.access.readers import Readers
from api.channels.hand_over.sender import sending
from api.conversation.answer_cache import AnswerCache, answer_version
from api.conversation.opening import Engine, open_engine
from api.history.edits import Edits
from api.history.opening import open_history, open_outbox, write_behind
from api.history.outbox import Outbox
from api.history.store import History
from api.indexing.behind import build_behind
from api.indexing.curation import Curation
from api.indexing.refresh import refresh_index
from api.jobs.base import JobRunner
from api.jobs.inline import open_inline_jobs
from api.jobs.queued import JobWorker, QueuedJobs
from api.jobs.records import JobRecords
from api.observability.metrics import Metrics, serve_metrics
from api.observability.queue_watch import watch_queues
from api.observability.tracing import open_tracing, trace_turn
from api.providers.choice import Providers
from api.settings import Settings
from api.state.broker import Broker, open_broker
from api.state.connection import State
from api.state.opening import open_settings_state
from api.turns.answering import Answering, Observer
from api.turns.records import TURNS, TurnRecords
from api.turns.run import RunLimits
from api.turns.runners.base import TurnRunner
from api.turns.runners.inline import InlineRunner
from api.turns.runners.queued import QueuedRunner
from api.turns.runners.waiting import WaitingTime
from api.turns.runners.worker import TurnWorker
from api.turns.sessions import Sessions
from api.turns.signals import Signals
from api.web.sse import NumberedEvent
from api.work.event_log import EventLog


@dataclass(frozen=True, slots=True)
class Services:
    """Everything a process that serves turns holds open."""

    settings: Settings
    engine: Engine
    state: State
    sessions: Sessions
    turns: TurnRecords
    runner: TurnRunner
    jobs: JobRecords
    job_runner: JobRunner
    metrics: Metrics
    access: Access
    readers: Readers
    history: History | None = None
    outbox: Outbox | None = None
    curation: Curation | None = None

    @property
    def providers(self) -> Providers:
        """The providers a request may choose from."""
        return self.engine.conversation.providers

    async def follow(
        self, turn_id: str, after: int = 0, *, key: Key | None = None
    ) -> AsyncGenerator[NumberedEvent]:
        """Numbered events of a turn above `after`, replayed and live, to its end; counted.

        Raises what `TurnRecords.follow` and, for readers with this `key`, `Reader.wait` do.
        """
        with self.metrics.turns_followed.track_inprogress(), self.readers.reading(key) as reader:
            async with aclosing(self.turns.follow(turn_id, after)) as events:
                async for item in reader.each(events):
                    yield item


@asynccontextmanager
async def open_services(settings: Settings, *, first: bool = False) -> AsyncIterator[Services]:
    """Opens state, engine and runner; turns that still run are drained at the end.

    Args:
        settings: where everything is.
        first: where the index is missing or stale, build it and answer from words meanwhile.

    Raises:
        SettingsError: a server beyond loopback without any API key.
        IndexMissing, IndexMismatch, CorpusError: see `open_searcher`.
    """
    with open_tracing(settings.tracing, process="api"):
        async with open_settings_state(settings) as state:
            access = open_access(settings, state)
            await check_keys(settings, access)
            async with (
                _open_parts(settings, state, first=first) as parts,
                build_behind(parts.engine.searcher, settings, wanted=first),
                _open_runners(settings, parts) as runners,
                Readers(access.keys).watching() as readers,
                sending(state, settings.hand_over, parts.metrics),
            ):
                turns, metrics = parts.turns, parts.metrics
                yield Services(
                    settings, parts.engine, state, turns.sessions, turns, *runners, metrics, access,
                    readers, parts.history, parts.outbox, _curation(settings, parts),
                )  # fmt: skip


@asynccontextmanager
async def open_worker(settings: Settings) -> AsyncIterator[TurnWorker]:
    """Opens what a worker needs and begins to take turns; they are drained at the end."""
    async with AsyncExitStack() as stack:
        stack.enter_context(open_tracing(settings.tracing, process="worker"))
        state = await stack.enter_async_context(open_settings_state(settings))
        parts = await stack.enter_async_context(_open_parts(settings, state))
        broker = await stack.enter_async_context(_open_broker(settings))
        worker = TurnWorker(
            broker,
            _answering(settings, parts),
            parts.turns,
            parts.signals,
            limits=parts.limits,
            concurrency=settings.queue.concurrency,
            waiting=parts.waiting,
        )
        async with (
            worker.consuming(drain_s=settings.turns.drain_s),
            watch_queues(broker, parts.waiting, parts.metrics),
            serve_metrics(settings.queue.metrics_port, parts.metrics),
            JobWorker(broker, JobRecords(state)).consuming(drain_s=0.0),
        ):
            yield worker


@dataclass(frozen=True, slots=True)
class _Parts:
    """What a process needs to run turns."""

    state: State
    engine: Engine
    turns: TurnRecords
    signals: Signals
    limits: RunLimits
    metrics: Metrics
    waiting: WaitingTime
    history: History | None
    outbox: Outbox | None


@asynccontextmanager
async def _open_parts(settings: Settings, state: State, *, first: bool = False) -> AsyncIterator[_Parts]:
    times = settings.state
    sessions = Sessions(state, ttl_s=times.session_ttl_s, max_turns=times.max_session_turns)
    outbox = open_outbox(settings, state)
    log = EventLog(state, TURNS, ttl_s=times.turn_ttl_s, on_end=outbox.ended if outbox else None)
    turns = TurnRecords(
        state,
        log,
        sessions,
        ttl_s=times.turn_ttl_s,
        patience_s=settings.queue.redelivery_s if settings.turns.runner == "queued" else 5.0,
        on_begin=outbox.begun if outbox else None,
    )
    limits = RunLimits(
        turn_s=settings.turns.timeout_s,
        unfollowed_s=settings.turns.abandoned_grace_s,
        memory_turns=settings.conversation.history_turns,
    )
    signals = Signals(state, turns.stop_channel)
    waiting = WaitingTime(state, limit_s=settings.queue.max_wait_s)
    async with (
        open_engine(settings, state=state, of_corpus=True, first=first) as engine,
        refresh_index(engine.searcher, settings, state),
        open_history(settings) as history,
        write_behind(settings, history, state, turns, outbox),
    ):
        metrics = Metrics()
        metrics.servers.upstreams = engine.conversation.providers.upstreams.values()
        try:
            yield _Parts(state, engine, turns, signals, limits, metrics, waiting, history, outbox)
        finally:
            await signals.aclose()


def _curation(settings: Settings, parts: _Parts) -> Curation | None:
    if parts.history is None:
        return None
    return Curation(settings, parts.engine.searcher, Edits(parts.history.engine), parts.state)


def _open_broker(settings: Settings) -> AbstractAsyncContextManager[Broker]:
    queue = settings.queue
    return open_broker(
        queue.url.get_secret_value(),
        prefix=queue.prefix,
        max_length=queue.max_length,
        max_deliveries=queue.max_deliveries,
    )


@asynccontextmanager
async def _open_runners(
    settings: Settings, parts: _Parts
) -> AsyncIterator[tuple[TurnRunner, JobRecords, JobRunner]]:
    """The runners that the settings name, for turns and for jobs."""
    jobs = JobRecords(parts.state)
    match settings.turns.runner:
        case "queued":
            async with _open_broker(settings) as broker, watch_queues(broker, parts.waiting, parts.metrics):
                yield QueuedRunner(parts.turns, broker, parts.waiting), jobs, QueuedJobs(broker)
        case "inline":
            runner = InlineRunner(
                _answering(settings, parts),
                parts.turns,
                parts.signals,
                limits=parts.limits,
                max_turns=settings.turns.max_concurrent,
            )
            try:
                async with open_inline_jobs(jobs) as job_runner:
                    yield runner, jobs, job_runner
            finally:
                await runner.drain(settings.turns.drain_s)


def _answering(settings: Settings, parts: _Parts) -> Answering:
    """How this process answers turns, and who looks on."""
    engine = parts.engine
    cache = None
    if settings.state.answer_ttl_s:
        cache = AnswerCache(
            parts.state,
            version=answer_version(settings),
            ttl_s=settings.state.answer_ttl_s,
            providers=engine.conversation.providers,
            index=lambda: engine.searcher.index.fingerprint,
        )
    observers: tuple[Observer, ...] = (parts.metrics.turn,)
    if settings.tracing.endpoint:
        observers = (trace_turn, *observers)
    return Answering(engine.conversation, cache, observers)
