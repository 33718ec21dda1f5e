"""Hostile inputs over every way in, while two ordinary sellers ask and must not notice.

    make fuzz [MINUTES=10] [SEED=...]     or     python -m tests.attack.fuzz --minutes 2 --seed 7

Prints the seed: with it, the same inputs come again. Ends with 1 and the smallest input found where an
answer is a server's error, a seller waits too long or sees an error, or the memory grows.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from tests.api.live import ROOT, SMARTSTORE, Live, environment, parse, serve
from tests.api.providers.upstream import MODEL, Upstream, upstream_in_thread
from tests.attack.inputs import QUESTION, Request, frames, requests, streams

SLOWEST_S = 1.5
# Counted after one edit of the FAQ, which loads Milvus Lite with pandas and arrow (190 MB); what is left are
# threads' longest texts.
WARM_MINUTES = 0.5
MOST_GROWTH_MB = 150
_ROUND = 30
_BUSY = 4
_TWO = (QUESTION, "판매 대금은 언제 들어오나요?")


@dataclass
class Seller:
    """One who asks all the time, over HTTP or a WebSocket, and notes what goes wrong."""

    server: Live
    socket: bool
    client: httpx.Client
    over: threading.Event
    waits: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def work(self) -> None:
        """Asks until the end."""
        while not self.over.is_set():
            started = time.monotonic()
            try:
                last = self.ask()
                if last != "turn.completed":
                    self.faults.append(f"ended with {last}")
            except Exception as exc:
                self.faults.append(repr(exc))
            self.waits.append(time.monotonic() - started)
            self.over.wait(0.3)

    def ask(self) -> str:
        """The last event of a turn."""
        return self._ask_socket() if self.socket else self._ask_http()

    def _ask_http(self) -> str:
        response = self.client.post("/chat", json={"question": _TWO[0]})
        return parse(response.text)[-1].kind if response.status_code == 200 else str(response.status_code)

    def _ask_socket(self) -> str:
        with connect(self.server.url.replace("http", "ws") + "/chat/ws") as opened:
            opened.send(json.dumps({"type": "ask", "question": _TWO[1]}))
            while (kind := json.loads(opened.recv(timeout=30))["event"]) not in ("turn.completed", "error"):
                pass
        return str(kind)


@dataclass
class Attacker:
    """Sends what hypothesis makes up."""

    server: Live
    client: httpx.Client
    fake: Upstream
    statuses: Counter[str] = field(default_factory=Counter)
    sent: int = 0

    def request(self, given_request: Request) -> None:
        """One HTTP request: anything may be answered but a server's error."""
        self.sent += 1
        try:
            response = self.client.request(
                given_request.method, given_request.path, content=given_request.content,
                headers=given_request.headers, params=given_request.params,
            )  # fmt: skip
        except httpx.InvalidURL:
            return
        self.statuses[f"{response.status_code // 100}xx"] += 1
        assert response.status_code < 500, (response.status_code, response.text[:500])
        if given_request.path.startswith("/chat") and response.status_code == 200 and response.text:
            assert parse(response.text)[-1].kind in ("turn.completed", "error")

    def frames(self, sent: list[str | bytes]) -> None:
        """A socket that gets these frames still answers, or is closed in order."""
        self.sent += 1
        with (
            suppress(WebSocketException, TimeoutError),
            connect(self.server.url.replace("http", "ws") + "/chat/ws") as opened,
        ):
            for frame in sent:
                opened.send(frame)
            opened.recv(timeout=0.5)
        self.statuses["socket"] += 1

    def stream(self, events: tuple[str, ...]) -> None:
        """A provider that says this: the turn ends, and what was shown is what is saved."""
        self.sent += 1
        self.fake.events = events
        response = self.client.post("/chat", json={"question": QUESTION, "provider": "hostile"})
        assert response.status_code == 200, response.text
        end = parse(response.text)[-1]
        assert end.kind == "turn.completed", end
        assert end.data["answer"].strip(), end
        assert end.data["verdict"] != "answered" or end.data["citations"], end
        # No reader finds another end of a line than ours.
        assert len(response.text.splitlines()) == response.text.count("\n")
        messages = [{"role": "user", "content": QUESTION}]
        body = {"model": "faq/hostile", "messages": messages, "stream": True}
        assert self.client.post("/v1/chat/completions", json=body).status_code == 200
        self.statuses["stream"] += 1


def attack(attacker: Attacker, *, minutes: float, first_seed: int) -> list[str]:
    """All kinds side by side until the time is over; returns hypothesis' smallest example of each fault."""
    give_up = time.monotonic() + minutes * 60
    faults: list[str] = []
    kinds: tuple[tuple[Callable[[Any], None], st.SearchStrategy[Any]], ...] = (
        (attacker.request, requests()),
        (attacker.frames, st.lists(frames(), min_size=1, max_size=6)),
        (attacker.stream, streams()),
    )

    def rounds(send: Callable[[Any], None], strategy: st.SearchStrategy[Any]) -> None:
        number = first_seed
        while time.monotonic() < give_up and not faults:
            try:
                _send_all(send, strategy, number)
            except Exception as exc:
                notes = "\n".join(getattr(exc, "__notes__", ()))
                faults.append(f"seed {number}: {exc!r}\n{notes}")
            number += 1

    threads = [threading.Thread(target=rounds, args=kind) for kind in kinds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return faults


def _send_all(send: Callable[[Any], None], strategy: st.SearchStrategy[Any], number: int) -> None:
    """One round: the inputs of the seed `number`."""

    @seed(number)
    @settings(
        max_examples=_ROUND,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def send_all(value: Any) -> None:
        send(value)

    send_all()


@contextmanager
def described(server: Live, first_seed: int) -> Iterator[list[str]]:
    """What schemathesis makes of the API's own description, for as long as the context lasts; its faults."""
    faults: list[str] = []
    report = server.data_dir / "schemathesis.txt"
    with report.open("w") as out:
        command = (
            f"run {server.url}/openapi.json --checks not_a_server_error --max-examples 20 --phases fuzzing"
        )
        options = f"--seed {first_seed} --exclude-path-regex /jobs.* --request-timeout 30"
        process = subprocess.Popen(
            [Path(sys.executable).parent / "schemathesis", *command.split(), *options.split()],
            cwd=server.data_dir,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            yield faults
        finally:
            unfinished = process.poll() is None
            process.terminate()
            code = process.wait(30)
    if code and not unfinished:
        faults.append(f"schemathesis: {report.read_text()[-3000:]}")


def memory_mb(server: Live) -> float:
    """Memory of the server's process."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def run(data_dir: Path, *, minutes: float, first_seed: int) -> list[str]:
    """Attacks a server; returns what went wrong."""
    with upstream_in_thread() as fake:
        times = {"first_token_timeout_s": 2, "between_tokens_timeout_s": 2, "max_retries": 0}
        endpoint = {"base_url": fake.url(), "model": MODEL, "third_party": False, **times}
        given_settings = {
            "SMARTSTORE_PROVIDERS__ENDPOINTS": json.dumps({"hostile": endpoint}),
            "SMARTSTORE_PROVIDERS__BREAKER_FAILURES": "1000000",
            "SMARTSTORE_STATE__ANSWER_TTL_S": "0",
            "SMARTSTORE_LOG__LEVEL": "error",
        }
        with serve(data_dir, **given_settings) as server, server.client() as client:
            over = threading.Event()
            sellers = [Seller(server, socket, client, over) for socket in (False, True)]
            attacker = Attacker(server, client, fake)
            attack(attacker, minutes=WARM_MINUTES, first_seed=0)
            first = {"question": "어떤 질문인가요?", "answer": "어떤 답변입니다."}
            client.post("/faqs", json=first).raise_for_status()
            before_mb, alone_s = memory_mb(server), _slowest_alone(sellers)
            threads = [threading.Thread(target=seller.work) for seller in sellers]
            for thread in threads:
                thread.start()
            with described(server, first_seed) as faults:
                faults += attack(attacker, minutes=minutes, first_seed=first_seed)
                over.set()
                for thread in threads:
                    thread.join()
            return faults + _judged(attacker, sellers, alone_s, memory_mb(server) - before_mb)


def _slowest_alone(sellers: list[Seller]) -> float:
    """The longest wait of sellers who have the server to themselves, in seconds."""
    waits = []
    for seller in sellers * 5:
        started = time.monotonic()
        assert seller.ask() == "turn.completed"
        waits.append(time.monotonic() - started)
    return max(waits)


def _judged(attacker: Attacker, sellers: list[Seller], alone_s: float, grown_mb: float) -> list[str]:
    """Prints the figures; returns what is too much. A busy machine makes sellers wait without any attack."""
    waits = sorted(wait for seller in sellers for wait in seller.waits)
    print(
        f"{attacker.sent} inputs {dict(attacker.statuses)}; two sellers: {len(waits)} turns, median "
        f"{waits[len(waits) // 2]:.2f} s, slowest {waits[-1]:.2f} s (alone {alone_s:.2f} s); "
        f"memory {grown_mb:+.0f} MB"
    )
    busy = os.getloadavg()[2] > (os.cpu_count() or 1) * 1.5
    faults = [f"a seller: {fault}" for seller in sellers for fault in seller.faults]
    if busy:
        print("the machine was busy before: waits are not judged")
    elif waits[-1] > max(SLOWEST_S, _BUSY * alone_s):
        faults.append(f"a seller waited {waits[-1]:.2f} s")
    if grown_mb > MOST_GROWTH_MB:
        faults.append(f"memory grew by {grown_mb:.0f} MB")
    return faults


def main() -> int:
    """Runs the attack."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--data-dir", type=Path, help="a folder with an index of the sample")
    given_options = parser.parse_args()
    first_seed = random.randrange(10**6) if given_options.seed is None else given_options.seed
    print(f"seed {first_seed}", flush=True)
    # It calls a server that hangs up on it a fault of its own.
    logging.getLogger("websockets").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        data_dir = given_options.data_dir or Path(folder)
        subprocess.run([*SMARTSTORE, "index", "build"], cwd=ROOT, env=environment(data_dir), check=True)
        faults = run(data_dir, minutes=given_options.minutes, first_seed=first_seed)
    for fault in faults:
        print(fault)
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
