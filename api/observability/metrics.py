"""Prometheus metrics of turns and HTTP requests. Knows names and labels, not how turns work."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from api.events import ProviderSwitched, TurnCompleted, TurnEvent, TurnFailed, Usage

if TYPE_CHECKING:
    from api.conversation.memory import Memory
    from api.providers.openai.upstreams import Upstreams
    from api.turns.runners.base import TurnRequest

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.3, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_CHILDREN = 512


class Metrics:
    """The metrics of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.http_requests = Counter(
            "smartstore_http_requests", "HTTP requests", ("method", "route", "status"), registry=registry
        )
        self.http_seconds = Histogram(
            "smartstore_http_seconds", "Time to the response's first byte", ("route",),
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self.turns = Counter("smartstore_turns", "Finished turns", ("provider", "verdict"), registry=registry)
        self.turn_errors = Counter("smartstore_turn_errors", "Failed turns", ("code",), registry=registry)
        self.feedback = Counter(
            "smartstore_feedback", "Ratings of answers", ("provider", "verdict", "rating"), registry=registry
        )
        self.hand_overs = Counter(
            "smartstore_hand_overs", "Attempts to hand a conversation to a person", ("result",),
            registry=registry,
        )  # fmt: skip
        self.turns_running = Gauge("smartstore_turns_running", "Turns running here", registry=registry)
        self.turns_followed = Gauge("smartstore_turns_followed", "Readers served here", registry=registry)
        self.queue_depth = Gauge(
            "smartstore_queue_depth", "Messages that wait", ("queue",), registry=registry
        )
        self.queue_age = Gauge(
            "smartstore_queue_age_seconds", "Wait of the turn taken last", registry=registry
        )
        self.first_delta = Histogram(
            "smartstore_first_delta_seconds", "Turn start to the first piece of the answer", ("provider",),
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self.steps = Histogram(
            "smartstore_step_seconds", "Time in each step of a turn", ("step",),
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self.switches = Counter(
            "smartstore_provider_switches", "Fallbacks seen by readers", ("from_", "to", "reason"),
            registry=registry,
        )  # fmt: skip
        self.tokens = Counter("smartstore_tokens", "Tokens used", ("provider", "kind"), registry=registry)
        self.cost = Counter("smartstore_cost_usd", "Cost in US dollars", ("provider",), registry=registry)
        self.cache_hits = Counter("smartstore_answer_cache_hits", "Answers from the cache", registry=registry)
        self.faults = FaultMetrics(registry)
        self.servers = ServerMetrics()
        registry.register(self.servers)
        # Finding a labelled child costs more than counting with it.
        self._requests = lru_cache(_CHILDREN)(self.http_requests.labels)
        self._request_seconds = lru_cache(_CHILDREN)(self.http_seconds.labels)
        self._tokens = lru_cache(_CHILDREN)(self.tokens.labels)
        self._cost = lru_cache(_CHILDREN)(self.cost.labels)

    def request(self, method: str, route: str, status: int, first_byte_s: float) -> None:
        """Counts an HTTP request and the seconds to its first byte."""
        self._requests(method, route, status).inc()
        self._request_seconds(route).observe(first_byte_s)

    def used(self, provider: str, usage: Usage) -> None:
        """Counts what an answer cost."""
        self._tokens(provider, "prompt").inc(usage.prompt_tokens)
        self._tokens(provider, "completion").inc(usage.completion_tokens)
        self._cost(provider).inc(usage.cost_usd)

    @asynccontextmanager
    async def turn(self, request: TurnRequest, memory: Memory) -> AsyncIterator[Callable[[TurnEvent], None]]:
        """An observer: counts a turn while it runs, and what its events tell."""
        with self.turns_running.track_inprogress():
            yield self.observe

    def observe(self, event: TurnEvent) -> None:
        """Counts what an event tells."""
        match event:
            case TurnCompleted():
                self._completed(event)
            case TurnFailed(code=code):
                self.turn_errors.labels(code).inc()
            case ProviderSwitched(from_=old, to=new, reason=reason):
                self.switches.labels(old, new, reason).inc()
            case _:
                pass

    def _completed(self, event: TurnCompleted) -> None:
        self.turns.labels(event.provider, event.verdict).inc()
        for step, ms in event.timings_ms.items():
            if step == "first_delta":
                self.first_delta.labels(event.provider).observe(ms / 1000)
            else:
                self.steps.labels(step).observe(ms / 1000)
        self.used(event.provider, event.usage)
        self.faults.observe(event)
        if event.cached:
            self.cache_hits.inc()


class FaultMetrics:
    """Counts what was wrong with models' answers, and with their prompts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.ungrounded = Counter(
            "smartstore_ungrounded_sentences", "Sentences that no cited FAQ supports", ("provider",),
            registry=registry,
        )  # fmt: skip
        self.answers = Counter(
            "smartstore_answer_faults", "What was wrong with models' answers", ("provider", "fault"),
            registry=registry,
        )  # fmt: skip
        self.dropped_citations = Counter(
            "smartstore_dropped_citations", "Citations of passages that were not given", ("provider",),
            registry=registry,
        )  # fmt: skip
        self.trimmed = Counter(
            "smartstore_trimmed_prompts", "Prompts that the context window had no room for", ("provider",),
            registry=registry,
        )  # fmt: skip

    def observe(self, event: TurnCompleted) -> None:
        """Counts what a finished turn tells."""
        if event.ungrounded:
            self.ungrounded.labels(event.provider).inc(len(event.ungrounded))
        if event.dropped_citations:
            self.dropped_citations.labels(event.provider).inc(event.dropped_citations)
        for fault in event.faults:
            self.answers.labels(event.provider, fault).inc()
        if event.trimmed_exchanges or event.trimmed_passages:
            self.trimmed.labels(event.provider).inc()


class ServerMetrics(Collector):
    """Counts of each provider's servers, read when somebody asks for the metrics."""

    def __init__(self) -> None:
        self.upstreams: Iterable[Upstreams] = ()

    def collect(self) -> Iterator[Metric]:
        """The metrics of every server."""
        labels = ("provider", "server")
        requests = CounterMetricFamily(
            "smartstore_server_requests", "Requests to a provider's server", labels=(*labels, "outcome")
        )
        outstanding = GaugeMetricFamily(
            "smartstore_server_outstanding", "Requests that it is answering", labels=labels
        )
        rests = GaugeMetricFamily(
            "smartstore_server_resting", "1 while its breaker keeps requests away", labels=labels
        )
        for each in self.upstreams:
            for server in each.servers:
                at = (each.name, server.address)
                outstanding.add_metric(at, server.outstanding)
                rests.add_metric(at, server.rests)
                for outcome, count in server.counts.items():
                    requests.add_metric((*at, outcome), count)
        yield from (requests, outstanding, rests)


@asynccontextmanager
async def serve_metrics(port: int, metrics: Metrics) -> AsyncIterator[None]:
    """Serves the metrics of a process without routes of its own, where there is a `port`."""
    if not port:
        yield
        return
    server, thread = start_http_server(port, registry=metrics.registry)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
