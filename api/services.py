"""The composition root: the one place that chooses implementations and joins them.

Shared by the app, the worker and the `smartstore` command. Resources open in order and close
in reverse.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass

import structlog
from prometheus_client import start_http_server

from api.access.auth import Access
from api.access.keys import Key
from api.access.opening import check_keys, open_access
from api.access.readers import Readers
from api.conversation.answer import Conversation
from api.conversation.answer_cache import AnswerCache, CachedConversation, answer_version
from api.conversation.context import ContextResolver
from api.conversation.followups import FollowUps
from api.conversation.rewriting import QuestionRewriter
from api.history.opening import open_history, open_outbox, write_behind
from api.history.outbox import Outbox
from api.history.store import History
from api.indexing.build import embedder_of
from api.indexing.corpus import open_corpus
from api.indexing.refresh import refresh_index
from api.jobs.base import JobRunner
from api.jobs.inline import open_inline_jobs
from api.jobs.queued import QueuedJobs, consume_jobs
from api.jobs.records import JobRecords
from api.observability.metrics import Metrics, ObservedConversation
from api.observability.queue_watch import watch_queues
from api.observability.tracing import TracedConversation, Tracing, open_tracing
from api.providers.choice import Providers
from api.providers.factory import open_providers
from api.settings import RerankerSettings, Settings
from api.state.broker import Broker, open_broker
from api.state.connection import State, open_state
from api.turns.event_log import EventLog
from api.turns.records import TurnRecords
from api.turns.run import Conversation as AnyConversation
from api.turns.run import RunLimits
from api.turns.runners.base import TurnRunner
from api.turns.runners.inline import InlineRunner
from api.turns.runners.queued import QueuedRunner
from api.turns.runners.waiting import WaitingTime
from api.turns.runners.worker import TurnWorker
from api.turns.sessions import Sessions
from api.turns.signals import Signals
from api.web.sse import NumberedEvent
from retrieval.index.opening import open_index
from retrieval.index.rows import fingerprint
from retrieval.prompt import load_system_prompt
from retrieval.ranking.cross_encoder import CrossEncoder
from retrieval.ranking.ranker import Ranker
from retrieval.scope.classifier import ScopeClassifier
from retrieval.search import Searcher
from retrieval.tokenizer import KoreanTokenizer

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Engine:
    """What answers questions; needs no state store.

    Attributes:
        searcher: finds FAQs.
        conversation: answers turns.
    """

    searcher: Searcher
    conversation: Conversation


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
    tracing: Tracing
    readers: Readers
    history: History | None = None
    outbox: Outbox | None = None

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


def open_searcher(settings: Settings, *, of_corpus: bool = False) -> Searcher:
    """Opens the search; blocking, some seconds for the models.

    Args:
        settings: where everything is.
        of_corpus: the index must be of the settings' corpus, as where questions of sellers are answered.

    Raises:
        IndexMissing, IndexMismatch: the message names the command that mends it.
        CorpusError: the corpus cannot be read.
    """
    embedder = embedder_of(settings)
    tokenizer = KoreanTokenizer()
    expected = None
    if of_corpus:
        corpus, known = open_corpus(settings)
        expected = fingerprint(corpus.faqs, known, embedder=embedder.name, tokenizer=tokenizer.version)
    index = open_index(
        settings.index_uri,
        token=settings.index.token.get_secret_value(),
        embedder=embedder.name,
        tokenizer=tokenizer.version,
        fingerprint=expected,
        snapshot_max_faqs=settings.index.snapshot_max_faqs,
    )
    ranker = Ranker.load(embedder=embedder.name)
    return Searcher(index, embedder, tokenizer, ranker, reranker=_reranker(settings.reranker))


def _reranker(settings: RerankerSettings) -> CrossEncoder | None:
    if not settings.model:
        return None
    return CrossEncoder(settings.model, device=settings.device, depth=settings.depth)


@asynccontextmanager
async def open_engine(
    settings: Settings, *, state: State | None = None, of_corpus: bool = False
) -> AsyncIterator[Engine]:
    """Opens search and conversation; raises as `open_searcher` does."""
    searcher = await asyncio.to_thread(open_searcher, settings, of_corpus=of_corpus)
    try:
        await asyncio.to_thread(
            searcher.search, "정산은 언제 되나요?"
        )  # loads the models before the first turn
        scope = ScopeClassifier.load()
        async with open_providers(settings, searcher.tokenizer, state=state) as providers:
            conversation = Conversation(
                context=ContextResolver(searcher, scope=scope),
                scope=scope,
                followups=FollowUps(searcher, scope=scope),
                providers=providers,
                rewriter=_rewriter(settings, providers),
                system=load_system_prompt(),
                passages=settings.conversation.passages,
                max_answer_tokens=settings.conversation.max_answer_tokens,
            )
            yield Engine(searcher, conversation)
    finally:
        searcher.index.close()


def _rewriter(settings: Settings, providers: Providers) -> QuestionRewriter | None:
    timeout_s = settings.conversation.rewrite_timeout_s
    return QuestionRewriter(providers, timeout_s=timeout_s) if timeout_s else None


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Opens state, engine and runner; turns that still run are drained at the end.

    Raises:
        SettingsError: a server beyond loopback without any API key.
        IndexMissing, IndexMismatch, CorpusError: see `open_searcher`.
    """
    async with _open_state(settings) as state:
        access = open_access(settings, state)
        await check_keys(settings, access)
        async with (
            open_engine(settings, state=state, of_corpus=True) as engine,
            refresh_index(engine.searcher, settings),
            _open_turns(settings, state, process="api") as parts,
            open_history(settings) as history,
            write_behind(settings, history, state, parts.turns, parts.outbox),
            _open_runners(settings, parts, lambda: _observed(engine, state, settings, parts)) as runners,
            Readers(access.keys).watching() as readers,
        ):
            sessions, turns, metrics = parts.turns.sessions, parts.turns, parts.metrics
            yield Services(
                settings, engine, state, sessions, turns, *runners, metrics, access, parts.tracing,
                readers, history, parts.outbox,
            )  # fmt: skip


@asynccontextmanager
async def open_worker(settings: Settings) -> AsyncIterator[TurnWorker]:
    """Opens what a worker needs and begins to take turns; they are drained at the end."""
    async with (
        _open_state(settings) as state,
        open_engine(settings, state=state, of_corpus=True) as engine,
        refresh_index(engine.searcher, settings),
        _open_turns(settings, state, process="worker") as parts,
        open_history(settings) as history,
        write_behind(settings, history, state, parts.turns, parts.outbox),
        _open_broker(settings) as broker,
    ):
        conversation = _observed(engine, state, settings, parts)
        worker = TurnWorker(
            broker,
            conversation,
            parts.turns,
            parts.signals,
            limits=parts.limits,
            concurrency=settings.queue.concurrency,
            waiting=parts.waiting,
        )
        await worker.start()
        try:
            async with (
                watch_queues(broker, parts.waiting, parts.metrics),
                _metrics_server(settings, parts.metrics),
                consume_jobs(broker, JobRecords(state)),
            ):
                yield worker
        finally:
            await worker.drain(settings.turns.drain_s)


@asynccontextmanager
async def _metrics_server(settings: Settings, metrics: Metrics) -> AsyncIterator[None]:
    """Serves a worker's metrics where the settings name a port."""
    if not settings.queue.metrics_port:
        yield
        return
    server, thread = start_http_server(settings.queue.metrics_port, registry=metrics.registry)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass(frozen=True, slots=True)
class _Turns:
    """What running a turn needs besides the conversation."""

    state: State
    turns: TurnRecords
    signals: Signals
    limits: RunLimits
    metrics: Metrics
    waiting: WaitingTime
    tracing: Tracing
    outbox: Outbox | None


def _open_state(settings: Settings) -> AbstractAsyncContextManager[State]:
    url, data_dir = settings.state.url.get_secret_value(), settings.path(settings.data_dir)
    return open_state(url, data_dir=data_dir / "state", prefix=settings.state.prefix)


@asynccontextmanager
async def _open_turns(settings: Settings, state: State, *, process: str) -> AsyncIterator[_Turns]:
    kept = settings.state
    sessions = Sessions(state, ttl_s=kept.session_ttl_s, max_turns=kept.max_session_turns)
    outbox = open_outbox(settings, state)
    log = EventLog(state, ttl_s=kept.turn_ttl_s, on_end=outbox.ended if outbox else None)
    queued = settings.turns.runner == "queued"
    turns = TurnRecords(
        state,
        log,
        sessions,
        ttl_s=kept.turn_ttl_s,
        patience_s=settings.queue.redelivery_s if queued else 5.0,
        on_begin=outbox.begun if outbox else None,
    )
    limits = RunLimits(
        turn_s=settings.turns.timeout_s,
        unfollowed_s=settings.turns.abandoned_grace_s,
        memory_turns=settings.conversation.history_turns,
    )
    signals = Signals(state, turns.stop_channel)
    tracing = open_tracing(settings.tracing, process=process)
    try:
        waiting = WaitingTime(state, limit_s=settings.queue.max_wait_s)
        yield _Turns(state, turns, signals, limits, Metrics(), waiting, tracing, outbox)
    finally:
        await asyncio.to_thread(tracing.close)
        await signals.aclose()


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
    settings: Settings, parts: _Turns, conversation: Callable[[], AnyConversation]
) -> AsyncIterator[tuple[TurnRunner, JobRecords, JobRunner]]:
    """The runners that the settings name, for turns and for jobs."""
    jobs = JobRecords(parts.state)
    match settings.turns.runner:
        case "queued":
            async with _open_broker(settings) as broker, watch_queues(broker, parts.waiting, parts.metrics):
                yield QueuedRunner(parts.turns, broker, parts.waiting), jobs, QueuedJobs(broker)
        case "inline":
            runner = InlineRunner(
                conversation(),
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


def _observed(engine: Engine, state: State, settings: Settings, parts: _Turns) -> AnyConversation:
    """The conversation as turns run it: cached, counted, and traced where the settings ask for it."""
    observed = ObservedConversation(_cached(engine, state, settings), parts.metrics)
    return TracedConversation(observed, parts.tracing) if parts.tracing.on else observed


def _cached(engine: Engine, state: State, settings: Settings) -> AnyConversation:
    """The conversation with its cache of first answers, unless the settings turn that off."""
    if not settings.state.answer_ttl_s:
        return engine.conversation
    cache = AnswerCache(state, version=answer_version(settings), ttl_s=settings.state.answer_ttl_s)
    return CachedConversation(
        engine.conversation,
        cache,
        providers=engine.conversation.providers,
        index=lambda: engine.searcher.index.fingerprint,
    )


def warn_of_missing_key(settings: Settings) -> None:
    """Says at start that a fallback will answer in the default provider's place for want of its key."""
    if settings.providers.default_lacks_key:
        log.warning(
            "default_provider_has_no_key",
            provider=settings.providers.default,
            answers_instead=", ".join(settings.providers.fallback) or "nobody",
            set=settings.key_variable,
        )
