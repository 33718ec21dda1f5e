"""OpenTelemetry traces, off by default: a request, its turn in whatever process runs it, the turn's steps.

The trace context travels in `TurnRequest.trace`, so a trace crosses the queue. The span of the answer
follows the GenAI semantic conventions. Needs the extra `otel`; knows events, not routes or queues.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.conversation.memory import Memory
from api.events import TurnCompleted, TurnEvent, TurnFailed, TurnStarted
from api.observability.request_log import QUIET
from api.settings import SettingsError, TracingSettings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

    from api.turns.run import Conversation
    from api.turns.runners.base import TurnRequest

_STEPS = ("context", "rewrite", "verdict", "answer", "suggestions")


class Tracing:
    """Starts and carries spans; without a provider it does nothing.

    Args:
        provider: where spans go; None turns tracing off.
    """

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("smartstore") if provider else None

    @property
    def on(self) -> bool:
        """Whether spans are made."""
        return self._tracer is not None

    def carry(self) -> dict[str, str]:
        """The current context as W3C headers, for another process."""
        carried: dict[str, str] = {}
        if self.on:
            from opentelemetry.propagate import inject

            inject(carried)
        return carried

    @contextmanager
    def request(self, method: str, path: str, headers: Mapping[str, str]) -> Iterator[Span]:
        """The span of an HTTP request, current while it is answered; `headers` may name its parent."""
        from opentelemetry.propagate import extract
        from opentelemetry.trace import SpanKind

        assert self._tracer is not None
        attributes = {"http.request.method": method, "url.path": path}
        with self._tracer.start_as_current_span(
            f"{method} {path}", context=extract(headers), kind=SpanKind.SERVER, attributes=attributes
        ) as span:
            yield span

    def begin_turn(self, request: TurnRequest) -> Span:
        """The span of a turn, a child of the request that asked it."""
        from opentelemetry.propagate import extract

        assert self._tracer is not None
        attributes = {"gen_ai.conversation.id": request.session_id, "smartstore.turn.id": request.turn_id}
        return self._tracer.start_span("turn", context=extract(request.trace), attributes=attributes)

    def end_turn(self, span: Span, began_ns: int, started: TurnStarted, end: TurnCompleted) -> None:
        """Lays the steps of a turn, one after the other, below its span."""
        from opentelemetry.trace import set_span_in_context

        assert self._tracer is not None
        span.set_attribute("smartstore.verdict", end.verdict)
        span.set_attribute("smartstore.index", end.index)
        below, at = set_span_in_context(span), began_ns
        for step in _STEPS:
            if step not in end.timings_ms:
                continue
            answers = step == "answer"
            name = f"chat {started.model}" if answers else step
            attributes = _genai(started, end) if answers else {}
            child = self._tracer.start_span(name, context=below, start_time=at, attributes=attributes)
            at += int(end.timings_ms[step] * 1e6)
            child.end(end_time=at)

    def close(self) -> None:
        """Sends what is left."""
        if self._provider is not None:
            self._provider.shutdown()


def _genai(started: TurnStarted, end: TurnCompleted) -> dict[str, Any]:
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": end.provider or started.provider,
        "gen_ai.request.model": started.model,
        "gen_ai.usage.input_tokens": end.usage.prompt_tokens,
        "gen_ai.usage.output_tokens": end.usage.completion_tokens,
    }


class TracedConversation:
    """A conversation each of whose turns is a span."""

    def __init__(self, conversation: Conversation, tracing: Tracing) -> None:
        self._conversation, self._tracing = conversation, tracing

    async def answer(self, request: TurnRequest, memory: Memory) -> AsyncGenerator[TurnEvent]:
        """The conversation's events, unchanged."""
        from opentelemetry.trace import StatusCode

        span, began_ns = self._tracing.begin_turn(request), time.time_ns()
        started: TurnStarted | None = None
        try:
            async with aclosing(self._conversation.answer(request, memory)) as events:
                async for event in events:
                    match event:
                        case TurnStarted():
                            started = event
                        case TurnCompleted() if started is not None:
                            self._tracing.end_turn(span, began_ns, started, event)
                        case TurnFailed(code=code):
                            span.set_status(StatusCode.ERROR, code)
                        case _:
                            pass
                    yield event
        except Exception as exc:
            span.set_status(StatusCode.ERROR, type(exc).__name__)
            raise
        finally:
            span.end()


class TraceRequests:
    """ASGI middleware: a span for each HTTP request, where tracing is on."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on inside its span."""
        services = scope.get("state", {}).get("services")
        if scope["type"] != "http" or services is None or not services.tracing.on or scope["path"] in QUIET:
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        with services.tracing.request(scope["method"], scope["path"], headers) as span:

            async def watched(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                await send(message)

            await self._app(scope, receive, watched)


def open_tracing(settings: TracingSettings, *, process: str) -> Tracing:
    """Tracing to the OTLP collector that the settings name, or none.

    Raises:
        SettingsError: the extra `otel` is not installed.
    """
    if not settings.endpoint:
        return Tracing()
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as exc:
        raise SettingsError("tracing.endpoint needs the extra: pip install '.[otel]'") from exc
    provider = TracerProvider(resource=Resource.create({"service.name": f"{settings.service}-{process}"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=settings.endpoint)))
    return Tracing(provider)
