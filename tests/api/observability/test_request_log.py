"""The request log: one line and one count a request, whoever answers it."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from typing import Any

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from api.observability.logs import configure_logs
from api.observability.metrics import Metrics
from api.observability.request_log import RequestLog
from api.settings import LogSettings


class App:
    """Answers every path with 202, `/broken` with an exception; holds what routes would."""

    def __init__(self) -> None:
        self.metrics = Metrics()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One answer."""
        scope["state"] = {"services": self}
        if scope["type"] == "lifespan":
            return
        if scope["path"] == "/broken":
            raise RuntimeError("broken")
        await send({"type": "http.response.start", "status": 202, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def counted(self, route: str = "other") -> float:
        """Requests counted so far."""
        labels = {"method": "GET", "route": route, "status": "202"}
        return self.metrics.registry.get_sample_value("smartstore_http_requests_total", labels) or 0


@pytest.fixture
def written(root_logger: logging.Logger) -> io.StringIO:
    """What the log's JSON lines are written to."""
    configure_logs(LogSettings())
    stream = io.StringIO()
    for handler in root_logger.handlers:
        assert isinstance(handler, logging.StreamHandler)
        handler.setStream(stream)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """The lines about requests."""
    return [line for line in map(json.loads, stream.getvalue().splitlines()) if line["event"] == "request"]


def client(log: RequestLog) -> httpx.AsyncClient:
    """Asks the application itself."""
    transport = httpx.ASGITransport(log, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://test")


async def test_every_request_is_told_once_with_its_id(written: io.StringIO) -> None:
    app = App()
    async with client(RequestLog(app)) as http:
        made = [(await http.get(f"/chat/{n}")).headers["x-request-id"] for n in range(3)]
        kept = await http.get("/chat/3", headers={"X-Request-Id": "from-a-proxy.1"})
        odd = await http.get("/chat/4", headers={"X-Request-Id": 'no "id"'})
        await http.get("/broken")
        await http.get("/health")
        await asyncio.sleep(0.2)
    told = lines(written)
    assert [line["path"] for line in told] == [*(f"/chat/{n}" for n in range(5)), "/broken"]
    assert [line["status"] for line in told] == [202] * 5 + [500]
    assert len(set(made)) == 3
    assert [line["request_id"] for line in told[:4]] == [*made, "from-a-proxy.1"]
    assert kept.headers["x-request-id"] == "from-a-proxy.1"
    assert odd.headers["x-request-id"] == told[4]["request_id"] != 'no "id"'
    assert all(0 <= line["first_byte_ms"] <= line["total_ms"] for line in told)
    assert {(line["level"], line["logger"], line["method"]) for line in told} == {
        ("info", "api.observability.request_log", "GET")
    }
    assert told[0]["timestamp"].endswith("Z")
    assert app.counted() == 6


async def test_a_scrape_finds_every_request_counted(written: io.StringIO) -> None:
    app = App()
    async with client(RequestLog(app)) as http:
        for n in range(5):
            await http.get(f"/chat/{n}")
        await http.get("/metrics")
        assert app.counted() == 5


async def test_nothing_piles_up_and_nothing_is_left_at_the_end(written: io.StringIO) -> None:
    app = App()
    log = RequestLog(app)
    async with client(log) as http:
        for n in range(1001):
            await http.get(f"/chat/{n}")
        assert app.counted() >= 1000
        await log({"type": "lifespan"}, None, None)  # type: ignore[arg-type]
    assert len(lines(written)) == 1001 == app.counted()


async def test_lines_are_readable_on_a_console(
    root_logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs(LogSettings(format="console"))
    async with client(RequestLog(App(), json_lines=False)) as http:
        await http.get("/chat/1")
        await asyncio.sleep(0.2)
    assert "/chat/1" in capsys.readouterr().err
