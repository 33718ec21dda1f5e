"""A small real HTTP server that speaks the service's contract from scripts, faults included.

Serves the page's own files under the same Content-Security-Policy. Knows no retrieval and no provider.
"""

from __future__ import annotations

import json
import mimetypes
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.browser.scripts import FAQ, Script, script_for

STATIC = Path(__file__).parents[2] / "api" / "web" / "static"
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass
class Turn:
    """A running or finished turn and its numbered events."""

    id: str
    session_id: str
    body: dict[str, Any]
    script: Script
    created_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat())
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    over: bool = False
    cuts: int = 0

    def run(self) -> None:
        """Writes the events at their times; a stop ends it with what it has."""
        provider = self.body.get("provider", "extractive")
        ids = {"turn_id": self.id, "session_id": self.session_id}
        self.events.append(("turn.started", {**ids, "provider": provider, "model": provider}))
        for step in self.script.steps:
            if self.stop.wait(step.wait):
                self._end_stopped()
                break
            self.events.append((step.type, step.data))
        self.over = True

    def text(self) -> str:
        """The deltas so far."""
        return "".join(data["text"] for name, data in self.events if name == "delta")

    def find(self, name: str) -> dict[str, Any]:
        """The data of the last event of that name."""
        return next((data for each, data in reversed(self.events) if each == name), {})

    def record(self) -> dict[str, Any]:
        """The turn as GET /sessions/{id} shows it."""
        end = self.find("turn.completed")
        return {
            "turn_id": self.id,
            "status": "running" if not self.over else "completed" if end else "failed",
            "question": self.body["question"],
            "standalone": self.find("question.rewritten").get("standalone", self.body["question"]),
            "answer": end.get("answer", ""),
            "verdict": end.get("verdict"),
            "citations": end.get("citations", []),
            "sources": self.find("sources").get("sources", []),
            "suggestions": self.find("suggestions").get("suggestions", []),
            "provider": self.body.get("provider", "extractive"),
            "created_at": self.created_at,
        }

    def _end_stopped(self) -> None:
        end = {"answer": self.text(), "verdict": "answered", "citations": [], "stopped": True}
        self.events.append(("turn.completed", end))


class ScriptedServer(ThreadingHTTPServer):
    """Listens on a free loopback port; `requests` holds (method, path) of each call, `asked` each body."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.turns: dict[str, Turn] = {}
        self.keys: dict[str, Turn] = {}
        self.requests: list[tuple[str, str]] = []
        self.asked: list[dict[str, Any]] = []
        self.resumed: list[str | None] = []
        self.providers = [{"name": "extractive", "model": "extractive", "healthy": True}]
        self.page: dict[str, Any] = {"providers": True}
        self.ratings: dict[str, dict[str, Any]] = {}
        self.api_key: str | None = None
        self.key_delay = 0.0

    @property
    def url(self) -> str:
        """The page's address."""
        return f"http://127.0.0.1:{self.server_address[1]}/"

    def start_turn(self, body: dict[str, Any], key: str) -> Turn:
        """The turn of this key, started if it is new."""
        if key in self.keys:
            return self.keys[key]
        number = len(self.turns) + 1
        session = body.get("session_id") or f"session-{number}"
        turn = Turn(f"turn-{number}", session, body, script_for(body["question"]))
        self.turns[turn.id] = self.keys[key] = turn
        threading.Thread(target=turn.run, daemon=True).start()
        return turn


class _Handler(BaseHTTPRequestHandler):
    server: ScriptedServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        parts = self._route()
        if parts in ([], ["static"]) or parts[0] == "static":
            return self._file("index.html" if not parts else "/".join(parts[1:]))
        if parts == ["page.json"]:
            return self._json(self.server.page)
        if parts == ["providers"]:
            return self._json({"default": "extractive", "providers": self.server.providers})
        if parts[0] == "faqs":
            return self._json({"id": parts[1], **FAQ})
        if parts[0] == "sessions":
            turns = [turn.record() for turn in self.server.turns.values() if turn.session_id == parts[1]]
            ratings = {turn_id: body["rating"] for turn_id, body in self.server.ratings.items()}
            body = {"session_id": parts[1], "provider": "extractive", "turns": turns, "ratings": ratings}
            return self._json(body) if turns else self._problem(404, "그런 대화가 없습니다.")
        if parts[:2] == ["chat", "turns"] and parts[2] in self.server.turns:
            last = self.headers.get("Last-Event-ID")
            self.server.resumed.append(last)
            return self._follow(self.server.turns[parts[2]], int(last or 0))
        return self._problem(404, "찾을 수 없습니다.")

    def do_POST(self) -> None:
        self._route()
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.api_key and self.headers.get("Authorization") != f"Bearer {self.server.api_key}":
            return self._problem(401, "API 키가 없거나 맞지 않습니다.")
        self.server.asked.append(body)
        if problem := script_for(body["question"]).problem:
            return self._json(problem[1], problem[0], "application/problem+json")
        turn = self.server.start_turn(body, self.headers["Idempotency-Key"])
        time.sleep(self.server.key_delay)
        return self._follow(turn, 0)

    def do_PUT(self) -> None:
        parts = self._route()
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.ratings[parts[2]] = body
        self._send(204, b"", "application/json")

    def do_DELETE(self) -> None:
        parts = self._route()
        if parts[-1] == "feedback":
            self.server.ratings.pop(parts[2], None)
            return self._send(204, b"", "application/json")
        if turn := self.server.turns.get(parts[-1]):
            turn.stop.set()
        self._send(202 if turn else 404, b"", "application/json")

    def _route(self) -> list[str]:
        path = urlsplit(self.path).path
        self.server.requests.append((self.command, path))
        return [part for part in path.split("/") if part]

    def _follow(self, turn: Turn, after: int) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("X-Turn-Id", turn.id)
        self.send_header("X-Session-Id", turn.session_id)
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        number = after
        try:
            while True:
                while number < len(turn.events):
                    name, data = turn.events[number]
                    number += 1
                    text = f"id: {number}\nevent: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
                    self.wfile.write(text.encode())
                    if turn.cuts < turn.script.cuts and number >= turn.script.cut_after * (turn.cuts + 1):
                        turn.cuts += 1
                        return
                if turn.over and number == len(turn.events):
                    return
                time.sleep(0.005)
        except (BrokenPipeError, ConnectionResetError):
            return

    def _file(self, name: str) -> None:
        path = (STATIC / name).resolve()
        if not path.is_relative_to(STATIC) or not path.is_file():
            return self._problem(404, "그런 파일이 없습니다.")
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        self._send(200, path.read_bytes(), kind, {"Content-Security-Policy": CSP})

    def _json(self, body: Any, status: int = 200, kind: str = "application/json") -> None:
        self._send(status, json.dumps(body, ensure_ascii=False).encode(), kind)

    def _problem(self, status: int, detail: str) -> None:
        self._json(
            {"type": "about:blank", "status": status, "detail": detail, "code": "x"},
            status,
            "application/problem+json",
        )

    def _send(self, status: int, body: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    server = ScriptedServer()
    print(server.url, flush=True)
    server.serve_forever()
