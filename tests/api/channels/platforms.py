"""Fake ends of TalkTalk and KakaoTalk that keep their published limits, and what they were sent."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

AUTHORIZATION = "ct_key"
# Both give a webhook up after five seconds; Kakao's callback URL works once, for a minute.
RESPONSE_S = 5.0
CALLBACK_S = 60.0


class Platform(ThreadingHTTPServer):
    """Takes pushes and callbacks; a fault of ours is kept in `faults`."""

    daemon_threads = True
    # Fifty pushes come at once; a connection that finds no place waits for seconds.
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pushed: list[dict[str, Any]] = []
        self.called: Counter[str] = Counter()
        self.answers: dict[str, dict[str, Any]] = {}
        self.issued: dict[str, float] = {}
        self.faults: list[str] = []
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def callback(self, path: str) -> str:
        """A callback URL, good for a minute from now."""
        self.issued[path] = time.monotonic()
        return self.url + path

    def messages(self) -> list[dict[str, Any]]:
        return [event for event in self.pushed if event["event"] == "send"]


class _Handler(BaseHTTPRequestHandler):
    server: Platform

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            if self.path == "/talktalk":
                if self.headers["Authorization"] != AUTHORIZATION:
                    self.server.faults.append("no Authorization")
                self.server.faults += talktalk_faults(body, pushed=True)
                self.server.pushed.append(body)
            else:
                self.server.called[self.path] += 1
                if self.server.called[self.path] > 1:
                    self.server.faults.append(f"{self.path} was called again")
                if time.monotonic() - self.server.issued.get(self.path, time.monotonic()) > CALLBACK_S:
                    self.server.faults.append(f"{self.path} was called after its minute")
                self.server.faults += kakao_faults(body)
                self.server.answers[self.path] = body
        content = b'{"success":true,"resultCode":"00"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def platform() -> Iterator[Platform]:
    """A platform in a thread."""
    with Platform() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def talktalk_faults(event: dict[str, Any], *, pushed: bool = False) -> list[str]:
    """What TalkTalk would refuse of an event."""
    faults = [] if event.get("event") in ("send", "action", "handover") else [f"event {event.get('event')}"]
    if pushed and not event.get("user"):
        faults.append("a push without its user")
    if event.get("event") == "send":
        content = event["textContent"]
        if not 0 < len(content["text"]) <= 10_000:
            faults.append(f"text of {len(content['text'])}")
        buttons = content.get("quickReply", {}).get("buttonList", [])
        if len(buttons) > 10 or ("quickReply" in content and not buttons):
            faults.append(f"{len(buttons)} buttons")
        for button in buttons:
            data = button["data"]
            if button["type"] != "TEXT" or not 0 < len(data["title"]) <= 18 or len(data["code"]) > 1000:
                faults.append(f"button {button}")
    return faults


def kakao_faults(response: dict[str, Any]) -> list[str]:
    """What KakaoTalk would refuse of a skill's response."""
    faults = [] if response.get("version") == "2.0" else ["version"]
    if response.get("useCallback"):
        return faults
    template = response["template"]
    if not 1 <= len(template["outputs"]) <= 3:
        faults.append("outputs")
    for output in template["outputs"]:
        if not 0 < len(output["simpleText"]["text"]) <= 1000:
            faults.append(f"text of {len(output['simpleText']['text'])}")
    replies = template.get("quickReplies", [])
    if len(replies) > 10 or any(len(each["label"]) > 14 or each["action"] != "message" for each in replies):
        faults.append(f"quickReplies {replies}")
    return faults
