"""Traces of real turns, across a real queue; none where nobody asks for them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from api.conversation.memory import Memory
from api.observability.tracing import TracedConversation, Tracing, open_tracing
from api.settings import SettingsError, TracingSettings
from api.state.broker import Broker
from api.state.connection import State
from api.turns.runners.base import TurnRequest
from api.turns.saved import new_turn_id
from tests.api.turns.queue_kit import front, worker
from tests.api.turns.turn_kit import OWNER, ScriptedConversation


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracing(spans: InMemorySpanExporter) -> Tracing:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return Tracing(provider)


def _request(tracing: Tracing) -> TurnRequest:
    return TurnRequest(new_turn_id(), "s_1", "정산은 언제 되나요?", "extractive", trace=tracing.carry())


def _one(spans: InMemorySpanExporter, name: str) -> ReadableSpan:
    [span] = [span for span in spans.get_finished_spans() if span.name == name]
    return span


async def test_turn_is_a_child_of_its_request_with_genai_attributes(
    tracing: Tracing, spans: InMemorySpanExporter
) -> None:
    conversation = TracedConversation(_Timed(), tracing)
    with tracing.request("POST", "/chat", {}):
        request = _request(tracing)
    events = [event async for event in conversation.answer(request, Memory())]
    assert events[-1].type == "turn.completed"
    asked, turn, answer = _one(spans, "POST /chat"), _one(spans, "turn"), _one(spans, "chat 각본")
    assert turn.parent is not None
    assert answer.parent is not None
    assert turn.parent.span_id == asked.context.span_id
    assert answer.parent.span_id == turn.context.span_id
    told = dict(answer.attributes or {})
    assert told["gen_ai.operation.name"] == "chat"
    assert told["gen_ai.usage.output_tokens"] == 7
    assert (answer.end_time or 0) - (answer.start_time or 0) == 30_000_000
    assert _one(spans, "context").end_time == answer.start_time


async def test_incoming_trace_context_is_continued(tracing: Tracing, spans: InMemorySpanExporter) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    with tracing.request("POST", "/chat", {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}):
        pass
    assert f"{_one(spans, 'POST /chat').context.trace_id:032x}" == trace


@pytest.mark.rabbitmq
async def test_trace_crosses_the_queue(
    tracing: Tracing, spans: InMemorySpanExporter, embedded_state: State, broker: Broker
) -> None:
    async with (
        front(embedded_state, broker) as api,
        worker(embedded_state, broker, TracedConversation(ScriptedConversation(), tracing)),
    ):
        with tracing.request("POST", "/chat", {}):
            request = replace(_request(tracing), session_id="")
            await api.turns.begin(request, owner=OWNER)
            await api.runner.start(request)
        assert (await api.events(request.turn_id))[-1][1].type == "turn.completed"
    assert _one(spans, "turn").context.trace_id == _one(spans, "POST /chat").context.trace_id


async def test_broken_turn_is_an_error(tracing: Tracing, spans: InMemorySpanExporter) -> None:
    class Broken:
        async def answer(self, request: TurnRequest, memory: Memory) -> AsyncIterator[Any]:
            raise ValueError("kaputt")
            yield

    with pytest.raises(ValueError, match="kaputt"):
        [event async for event in TracedConversation(Broken(), tracing).answer(_request(tracing), Memory())]
    assert not _one(spans, "turn").status.is_ok


def test_tracing_is_off_by_default_and_imports_nothing() -> None:
    code = "import sys\n"
    code += "from api.observability.tracing import open_tracing\n"
    code += "from api.settings import TracingSettings\n"
    code += "t = open_tracing(TracingSettings(), process='api'); assert t.carry() == {}; t.close()\n"
    code += "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(SettingsError, match="otel"):
        open_tracing(TracingSettings(endpoint="http://127.0.0.1:4318/v1/traces"), process="api")


def test_spans_reach_the_collector_that_the_settings_name() -> None:
    posted: list[tuple[str, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}/v1/traces"
        tracing = open_tracing(TracingSettings(endpoint=endpoint), process="api")
        with tracing.request("POST", "/chat", {}):
            pass
        tracing.close()
        server.shutdown()
    [(path, body)] = posted
    assert path == "/v1/traces"
    assert b"smartstore-api" in body
    assert b"POST /chat" in body


class _Timed(ScriptedConversation):
    """With the steps' times and a usage, as the real conversation tells them."""

    async def answer(self, request: TurnRequest, memory: Memory) -> AsyncIterator[Any]:
        async for event in super().answer(request, memory):
            if event.type == "turn.completed":
                times = {"context": 20.0, "answer": 30.0, "total": 60.0}
                usage = event.usage.model_copy(update={"completion_tokens": 7})
                yield event.model_copy(update={"timings_ms": times, "usage": usage})
            else:
                yield event
