"""The composition root: the one place that chooses implementations and joins them.

Shared by the app, the worker and the `smartstore` command. Resources open in order and close
in reverse.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from api.answer_cache import AnswerCache, CachedConversation, answer_version
from api.auth import Access
from api.context import ContextResolver
from api.conversation import Conversation
from api.errors import StateUnavailable
from api.followups import FollowUps
from api.index_refresh import refresh_index
from api.indexing import embedder_of
from api.keys import Keys
from api.loopback import is_loopback
from api.metrics import Metrics, ObservedConversation
from api.providers.choice import Providers
from api.providers.factory import open_providers
from api.rate_limits import RateLimits, TurnSlots
from api.settings import Settings, SettingsError
from api.state.connection import State, open_state
from api.state.event_log import EventLog
from api.state.sessions import Sessions
from api.state.turns import TurnRecords
from api.turns.base import TurnRunner
from api.turns.inline import InlineRunner
from api.turns.run import Conversation as AnyConversation
from api.turns.run import RunLimits
from api.turns.signals import Signals
from retrieval.corpus import read_corpus
from retrieval.errors import IndexMismatch
from retrieval.expansions import read_expansions
from retrieval.index.opening import index_info, open_index
from retrieval.index.rows import fingerprint
from retrieval.prompt import load_system_prompt
from retrieval.ranker import Ranker
from retrieval.scope import ScopeClassifier
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
    metrics: Metrics
    access: Access

    @property
    def providers(self) -> Providers:
        """The providers a request may choose from."""
        return self.engine.conversation.providers


def open_searcher(settings: Settings) -> Searcher:
    """Opens the search; blocking, some seconds for the models.

    Raises:
        IndexMissing, IndexMismatch: the message names the command that mends it.
    """
    embedder = embedder_of(settings)
    tokenizer = KoreanTokenizer()
    index = open_index(
        settings.index_uri,
        token=settings.index.token.get_secret_value(),
        embedder=embedder.name,
        tokenizer=tokenizer.version,
        snapshot_max_faqs=settings.index.snapshot_max_faqs,
    )
    return Searcher(index, embedder, tokenizer, Ranker.load())


@asynccontextmanager
async def open_engine(settings: Settings, *, state: State | None = None) -> AsyncIterator[Engine]:
    """Opens search and conversation."""
    searcher = await asyncio.to_thread(open_searcher, settings)
    try:
        await asyncio.to_thread(
            searcher.search, "정산은 언제 되나요?"
        )  # loads the models before the first turn
        async with open_providers(settings, searcher.tokenizer, state=state) as providers:
            conversation = Conversation(
                context=ContextResolver(searcher),
                scope=ScopeClassifier.load(),
                followups=FollowUps(searcher, searcher.index),
                providers=providers,
                system=load_system_prompt(),
                passages=settings.conversation.passages,
                max_answer_tokens=settings.conversation.max_answer_tokens,
            )
            yield Engine(searcher, conversation)
    finally:
        searcher.index.close()


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Opens state, engine and runner; turns that still run are drained at the end."""
    data_dir = settings.path(settings.data_dir)
    url = settings.state.url.get_secret_value()
    async with (
        open_state(url, data_dir=data_dir / "state", prefix=settings.state.prefix) as state,
        open_engine(settings, state=state) as engine,
        refresh_index(engine.searcher, settings),
    ):
        metrics = Metrics()
        sessions = Sessions(
            state, ttl_s=settings.state.session_ttl_s, max_turns=settings.state.max_session_turns
        )
        turns = TurnRecords(
            state, EventLog(state, ttl_s=settings.state.turn_ttl_s), sessions, ttl_s=settings.state.turn_ttl_s
        )
        signals = Signals(state, turns.stop_channel)
        limits = RunLimits(
            turn_s=settings.turns.timeout_s,
            unfollowed_s=settings.turns.abandoned_grace_s,
            memory_turns=settings.conversation.history_turns,
        )
        runner = InlineRunner(
            ObservedConversation(_cached(engine, state, settings), metrics),
            turns,
            signals,
            limits=limits,
            max_turns=settings.turns.max_concurrent,
        )
        access = open_access(settings, state)
        try:
            yield Services(settings, engine, state, sessions, turns, runner, metrics, access)
        finally:
            await runner.drain(settings.turns.drain_s)
            await signals.aclose()


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


def open_access(settings: Settings, state: State) -> Access:
    """Who may come in, and how often."""
    return Access(
        Keys(state, admin_secret=settings.auth.admin_key.get_secret_value()),
        RateLimits(state),
        TurnSlots(state, turn_s=settings.turns.timeout_s + settings.turns.abandoned_grace_s),
        required=settings.keys_required,
    )


def check_keys(settings: Settings) -> None:
    """Fails before anything starts where the server would listen beyond loopback without keys.

    Raises:
        SettingsError: no key exists, or the settings ask to let everybody in.
    """
    host = settings.server.host
    if is_loopback(host):
        return
    if not settings.keys_required:
        raise SettingsError(f"auth.required=false is for loopback only, not for server.host={host}")

    async def exist() -> bool:
        url, folder = settings.state.url.get_secret_value(), settings.path(settings.data_dir) / "state"
        async with open_state(url, data_dir=folder, prefix=settings.state.prefix) as state:
            return await open_access(settings, state).keys.exist()

    try:
        found = asyncio.run(exist())
    except StateUnavailable:
        # Nobody comes in without a key either way; whether there is one shows when the store is back.
        return
    if not found:
        raise SettingsError(
            f"listening on {host} needs an API key: make one with `smartstore keys create NAME`, "
            "or set SMARTSTORE_AUTH__ADMIN_KEY"
        )


def check_index(settings: Settings) -> None:
    """Fails before anything starts where the index is missing or of another corpus or embedder.

    Raises:
        IndexMissing, IndexMismatch: the message names the command that mends it.
        CorpusError: the corpus cannot be read.
    """
    expected = fingerprint(
        read_corpus(settings.path(settings.corpus.faq)).faqs,
        read_expansions(settings.path(settings.corpus.expansions)),
        embedder=embedder_of(settings).name,
        tokenizer=KoreanTokenizer().version,
    )
    built = index_info(settings.index_uri, token=settings.index.token.get_secret_value())
    if built.fingerprint != expected:
        raise IndexMismatch(settings.index_uri, expected=expected, found=built.fingerprint)
