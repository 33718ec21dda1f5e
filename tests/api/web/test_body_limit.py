"""A body over the limit is refused, whether its length was declared or not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from api.web.body_limit import BodyLimit


@pytest.fixture
def client() -> Iterator[TestClient]:
    async def length(request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(len(await request.body())))

    app = BodyLimit(Starlette(routes=[Route("/length", length, methods=["POST"])]), max_bytes=100)
    with TestClient(app) as opened:
        yield opened


def pieces(number: int) -> Iterator[bytes]:
    yield from (b"x" * 10 for _ in range(number))


def test_a_body_at_the_limit_passes(client: TestClient) -> None:
    assert client.post("/length", content=b"x" * 100).text == "100"
    assert client.post("/length", content=pieces(10)).text == "100"


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_over_the_limit_is_413(client: TestClient, declared: bool) -> None:
    response = client.post("/length", content=b"x" * 101 if declared else pieces(11))
    assert response.status_code == 413
    assert response.json()["code"] == "body_too_large"
