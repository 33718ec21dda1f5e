"""SIGTERM in mid-answer: no new work, and a last event for everybody who reads.

By hand, twenty times: python -m tests.api.web.test_ending [--times 20] [--drain 2]
"""

from __future__ import annotations

import argparse
import json
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from websockets.sync.client import connect

from tests.api.live import Live, parse, serve, wait_until
from tests.api.providers.upstream import MODEL, Upstream, numbered, upstream_in_thread

MINORS = "미성년자도 판매 회원 등록이 가능한가요?"
LAST = ("turn.completed", "error")


@contextmanager
def stack(data_dir: Path, *, pieces: int, drain_s: float) -> Iterator[tuple[Live, Upstream]]:
    """A server whose provider `slow` gives a piece every tenth of a second."""
    with upstream_in_thread(pieces=numbered(pieces), piece_s=0.1) as fake:
        endpoint = {"base_url": fake.url(), "model": MODEL, "third_party": False}
        settings = {
            "SMARTSTORE_PROVIDERS__ENDPOINTS": json.dumps({"slow": endpoint}),
            "SMARTSTORE_TURNS__DRAIN_S": str(drain_s),
        }
        with serve(data_dir, **settings) as server:
            yield server, fake


@dataclass
class Readers:
    """Threads that read one way each, and what came last."""

    last: dict[str, str] = field(default_factory=dict)
    threads: list[threading.Thread] = field(default_factory=list)

    def begin(self, name: str, read: Callable[[], str]) -> None:
        def run() -> None:
            try:
                self.last[name] = read()
            except Exception as exc:
                self.last[name] = repr(exc)

        self.threads.append(threading.Thread(target=run))
        self.threads[-1].start()

    def join(self) -> dict[str, str]:
        for thread in self.threads:
            thread.join(60)
        return self.last


def read_all(server: Live) -> Readers:
    """Asks over SSE, WebSocket, /v1 and the raw gateway at the same time."""
    readers = Readers()
    body: dict[str, Any] = {"messages": [{"role": "user", "content": MINORS}], "stream": True}

    def sse() -> str:
        with server.client() as client:
            response = client.post("/chat", json={"question": MINORS, "provider": "slow"})
        return parse(response.text)[-1].kind

    def websocket() -> str:
        with connect(server.url.replace("http", "ws") + "/chat/ws") as opened:
            opened.send(json.dumps({"type": "ask", "question": MINORS, "provider": "slow"}))
            while (kind := json.loads(opened.recv(timeout=60))["event"]) not in LAST:
                pass
        return str(kind)

    def completion(model: str) -> str:
        with server.client() as client:
            text = client.post("/v1/chat/completions", json=body | {"model": model}).text
        return text.strip().splitlines()[-1]

    readers.begin("sse", sse)
    readers.begin("websocket", websocket)
    readers.begin("v1", lambda: completion("faq/slow"))
    readers.begin("raw", lambda: completion(f"slow/{MODEL}"))
    return readers


def test_running_answers_end_and_new_questions_are_refused(data_dir: Path) -> None:
    with stack(data_dir, pieces=40, drain_s=20) as (server, fake), server.client() as client:
        readers = read_all(server)
        wait_until(lambda: fake.streaming == 4)
        assert client.get("/health").status_code == 200
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: client.get("/ready").status_code == 503)
        # Also on a connection that is new.
        refused = httpx.post(f"{server.url}/chat", json={"question": MINORS})
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) >= 1
        raw = {"model": f"slow/{MODEL}", "messages": [{"role": "user", "content": MINORS}]}
        assert client.post("/v1/chat/completions", json=raw).status_code == 503
        ends = readers.join()
        assert ends == {"sse": "turn.completed", "websocket": "turn.completed"} | dict.fromkeys(
            ("v1", "raw"), "data: [DONE]"
        )
        server.process.wait(60)


def test_answers_that_take_too_long_end_with_a_last_event(data_dir: Path) -> None:
    written = data_dir / "serve.log"
    before = written.stat().st_size if written.exists() else 0
    with stack(data_dir, pieces=600, drain_s=0.5) as (server, fake):
        readers = read_all(server)
        wait_until(lambda: fake.streaming == 4)
        server.process.send_signal(signal.SIGTERM)
        ends = readers.join()
        assert (ends["sse"], ends["websocket"]) == ("error", "error")
        assert '"interrupted"' in ends["v1"]
        assert '"interrupted"' in ends["raw"]
        server.process.wait(60)
        wait_until(lambda: fake.streaming == 0)
    # Servers of other tests have written before this one.
    assert b"Exception in ASGI application" not in written.read_bytes()[before:]


def test_an_idle_socket_does_not_hold_the_end_up(data_dir: Path) -> None:
    with (
        stack(data_dir, pieces=1, drain_s=600) as (server, _),
        connect(server.url.replace("http", "ws") + "/chat/ws") as opened,
        socket.create_connection(("127.0.0.1", int(server.url.rsplit(":", 1)[1]))),
    ):
        server.process.send_signal(signal.SIGTERM)
        assert json.loads(opened.recv(timeout=60))["data"]["code"] == "interrupted"
        server.process.wait(60)


def _main(times: int, drain_s: float, pieces: int) -> None:
    import subprocess

    from tests.api.live import ROOT, SMARTSTORE, environment

    longest_s, good = 0.0, 0
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder)
        subprocess.run([*SMARTSTORE, "index", "build"], cwd=ROOT, env=environment(data_dir), check=True)
        for _ in range(times):
            with stack(data_dir, pieces=pieces, drain_s=drain_s) as (server, fake):
                readers = read_all(server)
                wait_until(lambda fake=fake: fake.streaming == 4)
                started = time.monotonic()
                server.process.send_signal(signal.SIGTERM)
                ends = readers.join()
                server.process.wait(60)
                longest_s = max(longest_s, time.monotonic() - started)
                good += len(ends) == 4 and all(any(m in e for m in (*LAST, "DONE")) for e in ends.values())
    print(f"{good} of {times} ended with a last event for every reader; the slowest took {longest_s:.1f} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--drain", type=float, default=2.0)
    parser.add_argument("--pieces", type=int, default=600)
    given = parser.parse_args()
    _main(given.times, given.drain, given.pieces)
