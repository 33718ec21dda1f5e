"""Traces of real turns, across processes and a real queue; none where nobody asks for them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from api.conversation.memory import Memory
from api.observability.tracing import open_tracing, trace_headers, trace_turn, tracer
from api.settings import SettingsError, TracingSettings
from api.state.broker import Broker
from api.state.connection import State
from api.turns.runners.base import TurnRequest
from api.turns.saved import new_turn_id
from tests.api.live import ask, serve
from tests.api.providers.upstream import MODEL, upstream_in_thread
from tests.api.turns.queue_kit import front, worker
from tests.api.turns.turn_kit import OWNER, ScriptedConversation, process

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture(scope="session")
def exporter() -> InMemorySpanExporter:
    """What keeps this process's spans: OpenTelemetry takes one provider a process."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


@pytest.fixture
def spans(exporter: InMemorySpanExporter) -> InMemorySpanExporter:
    exporter.clear()
    return exporter


def _request() -> TurnRequest:
    return TurnRequest(new_turn_id(), "", "정산은 언제 되나요?", "extractive", trace=trace_headers())


def _one(spans: InMemorySpanExporter, name: str) -> ReadableSpan:
    [span] = [span for span in spans.get_finished_spans() if span.name == name]
    return span


@contextmanager
def collector() -> Iterator[tuple[str, list[Any]]]:
    """An OTLP collector; gives its address and the spans that reached it."""
    received: list[Any] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    received.extend(scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1/traces", received
        server.shutdown()


def test_a_trace_goes_from_the_request_to_the_provider(data_dir: Path) -> None:
    prefix = "SMARTSTORE_PROVIDERS__ENDPOINTS__SMALL__"
    with collector() as (endpoint, received), upstream_in_thread() as behind:
        settings = {
            "SMARTSTORE_TRACING__ENDPOINT": endpoint,
            f"{prefix}BASE_URL": behind.url(),
            f"{prefix}MODEL": MODEL,
            f"{prefix}THIRD_PARTY": "false",
        }
        with serve(data_dir, **settings) as server, server.client() as client:
            headers = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
            ask(client, "미성년자도 판매 회원 등록이 가능한가요?", provider="small", headers=headers)
            client.get("/health")
    by_name = {span.name: span for span in received}
    assert len(by_name) == len(received)
    assert {span.trace_id.hex() for span in received} == {TRACE}
    parents = {"turn": "POST /chat", "context": "turn", "answer": "turn", f"chat {MODEL}": "answer"}
    for child, parent in parents.items():
        assert by_name[child].parent_span_id == by_name[parent].span_id, child
    context, answer = by_name["context"], by_name["answer"]
    assert context.end_time_unix_nano <= answer.start_time_unix_nano < answer.end_time_unix_nano
    chat = by_name[f"chat {MODEL}"]
    told = {each.key: each.value for each in chat.attributes}
    assert told["gen_ai.operation.name"].string_value == "chat"
    assert told["gen_ai.usage.output_tokens"].int_value > 0
    assert behind.requests[-1].headers["traceparent"] == f"00-{TRACE}-{chat.span_id.hex()}-01"


@pytest.mark.rabbitmq
async def test_trace_crosses_the_queue(
    spans: InMemorySpanExporter, embedded_state: State, broker: Broker
) -> None:
    async with (
        front(embedded_state, broker) as api,
        worker(embedded_state, broker, ScriptedConversation(), observers=(trace_turn,)),
    ):
        with tracer.start_as_current_span("asked"):
            request = _request()
        await api.turns.begin(request, owner=OWNER)
        await api.runner.start(request)
        assert (await api.events(request.turn_id))[-1][1].type == "turn.completed"
    turn, asked = _one(spans, "turn"), _one(spans, "asked")
    assert turn.parent is not None
    assert asked.context is not None
    assert turn.parent.span_id == asked.context.span_id


async def test_broken_turn_is_an_error(spans: InMemorySpanExporter, embedded_state: State) -> None:
    class Broken(ScriptedConversation):
        async def answer(self, request: TurnRequest, memory: Memory) -> AsyncIterator[Any]:
            raise ValueError("kaputt")
            yield

    async with process(embedded_state, Broken(), observers=(trace_turn,)) as one:
        request = _request()
        await one.turns.begin(request, owner=OWNER)
        await one.runner.start(request)
        assert (await one.events(request.turn_id))[-1][1].type == "error"
    status = _one(spans, "turn").status
    assert (status.is_ok, status.description) == (False, "internal_error")


def test_tracing_is_off_by_default_and_loads_no_sdk() -> None:
    code = "import sys\n"
    code += "from api.observability.tracing import open_tracing, trace_headers, tracer\n"
    code += "from api.settings import TracingSettings\n"
    code += "with open_tracing(TracingSettings(), process='api'), tracer.start_as_current_span('a'):\n"
    code += "    assert trace_headers() == {}\n"
    code += "sys.exit(any(name.startswith('opentelemetry.sdk') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    settings = TracingSettings(endpoint="http://127.0.0.1:4318/v1/traces")
    with pytest.raises(SettingsError, match="otel"), open_tracing(settings, process="api"):
        pass
