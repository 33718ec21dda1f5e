"""Limits and revocation on connections that are open: a WebSocket's messages, running streams."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from api.access.keys import Keys
from api.access.readers import Interrupted, Readers
from api.state.connection import State
from tests.api.access.test_keys_http import MINORS, key
from tests.api.live import Live, parse, serve, smartstore
from tests.api.providers.upstream import MODEL, Upstream, numbered, upstream_in_thread


@pytest.fixture(scope="module")
def slow() -> Iterator[Upstream]:
    with upstream_in_thread(pieces=numbered(600), piece_s=0.05) as server:
        yield server


@pytest.fixture(scope="module")
def closed(data_dir: Path, slow: Upstream) -> Iterator[Live]:
    """A server that requires keys, with a provider that takes half a minute."""
    endpoint = {"base_url": slow.url(), "model": MODEL, "third_party": False}
    settings = {
        "SMARTSTORE_AUTH__REQUIRED": "true",
        "SMARTSTORE_PROVIDERS__ENDPOINTS": json.dumps({"slow": endpoint}),
        "SMARTSTORE_SERVER__REQUEST_TIMEOUT_S": "0.5",
        # What the tests leave running is not waited for at the end.
        "SMARTSTORE_TURNS__DRAIN_S": "0.5",
    }
    with serve(data_dir, **settings) as server:
        yield server


def open_socket(server: Live, headers: dict[str, str]) -> ClientConnection:
    return connect(server.url.replace("http", "ws") + "/chat/ws", additional_headers=headers)


def send(websocket: ClientConnection, **message: Any) -> None:
    websocket.send(json.dumps(message))


def until(websocket: ClientConnection, *kinds: str) -> dict[str, Any]:
    """The next message of one of these kinds."""
    while True:
        message: dict[str, Any] = json.loads(websocket.recv(timeout=60))
        if message["event"] in kinds:
            return message


async def test_a_reader_is_told_that_the_process_ends_now_and_next(embedded_state: State) -> None:
    readers = Readers(Keys(embedded_state))
    with readers.reading() as reader:
        waiting = asyncio.create_task(reader.wait(asyncio.Event().wait()))
        await asyncio.sleep(0)
        readers.dismiss_all()
        with pytest.raises(Interrupted) as end:
            await waiting
        assert end.value.retryable
        with pytest.raises(Interrupted):
            await reader.wait(asyncio.Event().wait())


async def test_a_piece_that_takes_too_long_by_itself_dismisses_nobody(embedded_state: State) -> None:
    async def piece() -> None:
        raise TimeoutError("its own")

    with Readers(Keys(embedded_state)).reading() as reader, pytest.raises(TimeoutError, match="its own"):
        await reader.wait(piece())


async def test_an_end_waits_for_readers_and_for_idle_ones_only_where_it_is_told_to(
    embedded_state: State,
) -> None:
    readers = Readers(Keys(embedded_state))
    with readers.reading(idle=True):
        await readers.gone(3600)
        with readers.reading():
            gone = asyncio.create_task(readers.gone(3600))
            await asyncio.sleep(0)
            assert not gone.done()
        await gone
        gone = asyncio.create_task(readers.gone(3600, idle=True))
        await asyncio.sleep(0)
        assert not gone.done()
    await gone


def test_asks_and_resumes_on_a_socket_count_like_requests(closed: Live) -> None:
    # One of the five is the connection itself.
    with open_socket(closed, key(closed, "--per-minute", "5")) as websocket:
        ends = []
        for n in range(6):
            if n % 2 and ends[0]["turn_id"]:
                send(websocket, type="resume", turn_id=ends[0]["turn_id"])
            else:
                send(websocket, type="ask", question=MINORS)
            ends.append(until(websocket, "turn.completed", "error"))
    assert [end["event"] for end in ends] == ["turn.completed"] * 4 + ["error"] * 2
    assert {end["data"]["code"] for end in ends[4:]} == {"rate_limited"}


def test_resumes_on_a_socket_are_bounded(closed: Live) -> None:
    with open_socket(closed, key(closed)) as websocket:
        send(websocket, type="ask", question=MINORS, provider="slow")
        turn_id = until(websocket, "turn.started")["turn_id"]
        for _ in range(40):
            send(websocket, type="resume", turn_id=turn_id)
        faults = [until(websocket, "error") for _ in range(40 - 15)]
        assert {fault["data"]["code"] for fault in faults} == {"invalid_request"}
        send(websocket, type="stop", turn_id=turn_id)


def revoke(server: Live, headers: dict[str, str]) -> None:
    key_id = "k_" + headers["Authorization"].split("_")[1]
    assert smartstore(server.data_dir, "keys", "revoke", key_id).returncode == 0


def test_a_revoked_key_is_out_of_its_socket(closed: Live) -> None:
    headers = key(closed)
    with open_socket(closed, headers) as idle, open_socket(closed, headers) as websocket:
        send(websocket, type="ask", question=MINORS, provider="slow")
        until(websocket, "delta")
        revoke(closed, headers)
        assert until(websocket, "error")["data"]["code"] == "unauthorized"
        assert until(idle, "error")["data"]["code"] == "unauthorized"
        for each in (websocket, idle):
            with pytest.raises(ConnectionClosed) as end:
                each.recv(timeout=60)
            assert end.value.rcvd is not None
            assert end.value.rcvd.code == 1008


@pytest.mark.parametrize("path", ["/chat", "/v1/chat/completions", "raw"])
def test_a_revoked_key_is_out_of_its_running_stream(closed: Live, path: str) -> None:
    headers = key(closed, "--scopes", "chat,raw")
    messages = [{"role": "user", "content": MINORS}]
    model = f"slow/{MODEL}" if path == "raw" else "faq/slow"
    body = {"model": model, "messages": messages, "stream": True}
    if path == "/chat":
        body = {"question": MINORS, "provider": "slow"}
    path = "/v1/chat/completions" if path == "raw" else path
    with closed.client() as client, client.stream("POST", path, json=body, headers=headers) as response:
        text = ""
        for piece in response.iter_text():
            if "조각" in piece and "조각" not in text:
                revoke(closed, headers)
            text += piece
    assert 0 < text.count("조각") < 500
    if path == "/chat":
        end = parse(text.replace("event: error", "id: 0\nevent: error"))[-1]
        assert (end.kind, end.data["code"]) == ("error", "unauthorized")
    else:
        assert '"invalid_api_key"' in text.splitlines()[-2]


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"", b"HTTP/1.1 408"),
        (b"POST /chat HTTP/1.1\r\nHost: x\r\n", b"HTTP/1.1 408"),
        (b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /hea", b"HTTP/1.1 200"),
    ],
)
def test_half_a_request_is_not_waited_for(closed: Live, sent: bytes, answer: bytes) -> None:
    assert received(closed, sent).startswith(answer)


def test_half_a_body_is_not_waited_for(closed: Live) -> None:
    head = (
        "POST /chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 50\r\n"
    )
    secret = key(closed)["Authorization"]
    received(closed, f"{head}Authorization: {secret}\r\n\r\n{{".encode())
    with closed.client() as client:
        assert client.get("/health").status_code == 200


def received(server: Live, sent: bytes) -> bytes:
    """What a connection that sends this, and nothing more, gets until the server closes it."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(sent)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    return answer
