"""The WebSocket against a real server."""

from __future__ import annotations

import json
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.api.live import Live

MINORS = "미성년자도 판매 회원 등록이 가능한가요?"


def _open(live: Live) -> ClientConnection:
    return connect(live.url.replace("http", "ws") + "/chat/ws", open_timeout=60)


def _until_end(socket: ClientConnection) -> list[dict[str, Any]]:
    messages = []
    while True:
        messages.append(json.loads(socket.recv(timeout=60)))
        if messages[-1]["event"] in ("turn.completed", "error"):
            return messages


def test_socket_asks_and_resumes(live: Live) -> None:
    with _open(live) as socket:
        socket.send(json.dumps({"type": "ask", "question": MINORS}))
        messages = _until_end(socket)
        assert messages[-1]["event"] == "turn.completed"
        turn = messages[0]["turn_id"]
        socket.send(json.dumps({"type": "resume", "turn_id": turn, "after": 2}))
        assert _until_end(socket) == messages[2:]


def test_socket_answers_faults_and_stays_open(live: Live) -> None:
    with _open(live) as socket:
        for bad in ("no json", '{"type": "dance"}', '{"type": "ask", "question": " "}',
                    '{"type": "stop", "turn_id": "t_unknown"}'):  # fmt: skip
            socket.send(bad)
            assert json.loads(socket.recv(timeout=60))["event"] == "error"
        socket.send(json.dumps({"type": "ask", "question": MINORS}))
        assert _until_end(socket)[-1]["data"]["verdict"] == "answered"
