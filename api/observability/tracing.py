"""OpenTelemetry traces, off by default: a request, its turn in whatever process runs it, the turn's steps.

The trace context travels in `TurnRequest.trace`, so a trace crosses the queue, and in the headers of
requests to providers. The code that makes spans knows OpenTelemetry's API alone, which does nothing
until `open_tracing` has named where spans go; that needs the extra `otel`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from opentelemetry import propagate, trace
from opentelemetry.trace import Status, StatusCode

from api.events import TurnCompleted, TurnEvent, TurnFailed
from api.settings import SettingsError, TracingSettings

if TYPE_CHECKING:
    from api.conversation.memory import Memory
    from api.turns.runners.base import TurnRequest

tracer = trace.get_tracer("smartstore")


def trace_headers() -> dict[str, str]:
    """The current span as W3C headers, for another process; empty where there is none."""
    headers: dict[str, str] = {}
    if trace.get_current_span().get_span_context().is_valid:
        propagate.inject(headers)
    return headers


@asynccontextmanager
async def trace_turn(request: TurnRequest, memory: Memory) -> AsyncIterator[Callable[[TurnEvent], None]]:
    """An observer: the span of a turn, a child of the request that asked it; current while it runs."""
    attributes = {"gen_ai.conversation.id": request.session_id, "smartstore.turn.id": request.turn_id}
    parent = propagate.extract(request.trace)
    with tracer.start_as_current_span("turn", context=parent, attributes=attributes) as span:

        def observe(event: TurnEvent) -> None:
            match event:
                case TurnCompleted():
                    span.set_attribute("smartstore.verdict", event.verdict)
                    span.set_attribute("smartstore.index", event.index)
                    span.set_attribute("smartstore.cached", event.cached)
                case TurnFailed(code=code):
                    span.set_status(Status(StatusCode.ERROR, code))
                case _:
                    pass

        yield observe


@contextmanager
def open_tracing(settings: TracingSettings, *, process: str) -> Iterator[None]:
    """Sends spans to the OTLP collector that the settings name, if any; sends what is left at the end.

    Raises:
        SettingsError: the extra `otel` is not installed.
    """
    if not settings.endpoint:
        yield
        return
    provider: Any = _provider(settings, process)
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        provider.shutdown()


def _provider(settings: TracingSettings, process: str) -> Any:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as exc:
        raise SettingsError("tracing.endpoint needs the extra: pip install '.[otel]'") from exc
    provider = TracerProvider(resource=Resource.create({"service.name": f"{settings.service}-{process}"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=settings.endpoint)))
    return provider
