"""What a client sees when a provider misbehaves: measured on a real server, written as a table.

    python -m tests.api.providers.faults [--data-dir var]     writes docs/faults.md

A real `smartstore serve` answers from a real upstream that misbehaves on demand. Every fault is
met twice, with a stand-in (`extractive`) and without one.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.api.live import ROOT, Event, Live, parse, serve, wait_until
from tests.api.providers.upstream import ANSWER, FAULTS, FIRST, MODEL, PHASES, Upstream, upstream_in_thread

DOC = ROOT / "docs" / "faults.md"
QUESTION = "반품 배송비는 누가 내나요?"
LIMIT_S = 1.0
# What is not given up stays open for as long as the server lives: longer than any machine is busy.
FREED_S = 30.0
MOST_TOKENS = 64
_WAYS = {
    "slow": f"silent for {LIMIT_S * 3:g} s, then goes on",
    "stall": "silent for ever",
    "429": "too many requests",
    "500": "server error",
    "cut": "connection cut in the middle of a chunk",
    "malformed": "half a JSON object as a chunk",
    "wrong_type": "an HTML page instead of events",
    "endless": "before: keep-alive comments for ever; after: pieces for ever, beyond `max_tokens`",
}


_INTRODUCTION = f"""\
Written by `python -m tests.api.providers.faults`; `tests/api/providers/test_faults.py` runs the same. A real
server is asked over `POST /chat` and asks a real upstream that misbehaves on demand. The first
token and each pause between tokens may take {LIMIT_S:g} s, with one retry and at most {MOST_TOKENS}
tokens.

Before the first token a switch to the stand-in is silent; after it the client is told, and the
answer starts again. A 429 that asks for more patience than the first token may take is not tried
again. *Asked*: requests that the upstream got, in both runs. *Freed*: nothing was left open at the
upstream after the turn's end; when both servers had ended, it counted no open connection at all.
"""


@dataclass(frozen=True)
class Met:
    """One fault as a client met it.

    Attributes:
        saw: what the client was shown, in words.
        asked: requests that the upstream got.
        ended_s: from asking to the turn's last event.
        freed: nothing of it was left open at the upstream.
        whole: the final answer is what was shown since the last switch, and of one provider alone.
    """

    fault: str
    phase: str
    saw: str
    asked: int
    ended_s: float
    freed: bool
    whole: bool


@contextmanager
def stack(server: Upstream, data_dir: Path, *, stand_in: bool, **settings: str) -> Iterator[Live]:
    """A server with one provider for each fault and phase, called e.g. `stall-after`."""
    names = [(fault, phase) for fault in FAULTS for phase in PHASES] + [("none", "before")]
    times = {"first_token_timeout_s": LIMIT_S, "between_tokens_timeout_s": LIMIT_S, "max_retries": 1}
    endpoints = {
        "-".join(name): {"base_url": server.url(*name), "model": MODEL, "third_party": False, **times}
        for name in names
    }
    given = {
        "SMARTSTORE_PROVIDERS__ENDPOINTS": json.dumps(endpoints),
        "SMARTSTORE_PROVIDERS__FALLBACK": '["extractive"]' if stand_in else "[]",
        "SMARTSTORE_PROVIDERS__BREAKER_FAILURES": "3",
        "SMARTSTORE_PROVIDERS__BREAKER_OPEN_S": "2",
        "SMARTSTORE_CONVERSATION__MAX_ANSWER_TOKENS": str(MOST_TOKENS),
        "SMARTSTORE_STATE__PREFIX": f"faults-{time.time_ns()}:",
        "SMARTSTORE_STATE__ANSWER_TTL_S": "0",
    }
    with serve(data_dir, **given, **settings) as live:
        yield live


def ask(client: httpx.Client, provider: str) -> list[Event]:
    """One turn, followed to its end."""
    response = client.post("/chat", json={"question": QUESTION, "provider": provider}, timeout=60)
    assert response.status_code == 200, response.text
    return parse(response.text)


def meet(server: Upstream, client: httpx.Client, fault: str, phase: str) -> Met:
    """Asks the provider with this fault and looks at both ends."""
    before = len(server.requests)
    started = time.monotonic()
    events = ask(client, f"{fault}-{phase}")
    ended_s = time.monotonic() - started
    try:
        wait_until(lambda: server.streaming == 0, FREED_S)
        freed = True
    except AssertionError:
        freed = False
    saw, whole = read(events)
    return Met(fault, phase, saw, len(server.requests) - before, ended_s, freed, whole)


def read(events: list[Event]) -> tuple[str, bool]:
    """What a client was shown, in words, and whether its last answer is of one provider alone."""
    parts: list[str] = []
    pieces: list[str] = []
    for event in events:
        match event.kind:
            case "delta":
                pieces.append(event.data["text"])
            case "provider.switched":
                parts.append(f"{_count(pieces)}, `provider.switched` ({event.data['reason']})")
                pieces = []
            case "error":
                parts.append(f"{_count(pieces)}, " if pieces else "")
                again = "retryable" if event.data["retryable"] else "final"
                return ", ".join(
                    filter(None, [*parts[:-1], f"{parts[-1]}`error` {event.data['code']} ({again})"])
                ), True
    final = events[-1]
    assert final.kind == "turn.completed", final
    text, whose = "".join(pieces), final.data["provider"]
    mixed = whose == "extractive" and any(word in text for word in (FIRST, "끝없는", ANSWER))
    cut = " cut at its bound" if "끝없는" in text else ""
    parts.append(f"whole answer of `{whose}`" if not cut else f"answer{cut}")
    return ", ".join(parts), final.data["answer"] == text and not mixed


def _count(pieces: list[str]) -> str:
    return f"{len(pieces)} piece{'s' if len(pieces) != 1 else ''}"


def measure(server: Upstream, live: Live) -> list[Met]:
    """Every fault, before and after the first token."""
    with live.client() as client:
        return [meet(server, client, fault, phase) for fault in FAULTS for phase in PHASES]


def measure_breaker(server: Upstream, live: Live) -> list[tuple[str, str]]:
    """Opens and closes a breaker; (what was done, what came of it)."""
    steps: list[tuple[str, str]] = []
    name = "500-before"

    def step(what: str, client: httpx.Client) -> None:
        before = len(server.requests)
        final = ask(client, name)[-1].data
        position = breaker(client, name)
        asked = len(server.requests) - before
        steps.append(
            (what, f"answer of `{final['provider']}`, upstream asked {asked} times, breaker {position}")
        )

    with live.client() as client:
        while breaker(client, name) != "open":
            step("provider fails", client)
        step("asked while open", client)
        server.healed = True
        time.sleep(2.2)
        step("provider healed, 2.2 s later", client)
        step("next turn", client)
        server.healed = False
    return steps


def breaker(client: httpx.Client, name: str) -> str:
    """Where the breaker of a provider stands, as GET /providers tells it."""
    listed: list[dict[str, Any]] = client.get("/providers").json()["providers"]
    return next(str(each["breaker"]) for each in listed if each["name"] == name)


def measure_stop(server: Upstream, live: Live) -> list[tuple[str, float]]:
    """Seconds from DELETE to the upstream seeing its connection closed, by moment of the stop."""
    found: list[tuple[str, float]] = []
    for moment, name in (("before the first token", "stall-before"), ("while pieces arrive", "none-before")):
        server.piece_s = 0.2
        with live.client() as client:
            asked = len(server.requests)
            with client.stream("POST", "/chat", json={"question": QUESTION, "provider": name}) as response:
                wait_until(lambda asked=asked: len(server.requests) > asked)
                if name == "none-before":
                    _until_delta(response)
                seen, started = server.requests[-1], time.monotonic()
                client.delete(f"/chat/turns/{response.headers['x-turn-id']}")
                wait_until(lambda seen=seen: seen.hung_up_at)
                found.append((moment, (seen.hung_up_at or 0.0) - started))
        server.piece_s = 0.0
    return found


def _until_delta(response: httpx.Response) -> None:
    for line in response.iter_lines():
        if line == "event: delta":
            return


def document(
    aided: list[Met], alone: list[Met], steps: list[tuple[str, str]], stops: list[tuple[str, float]]
) -> str:
    """The whole document."""
    lines = [
        "# When a provider misbehaves",
        "",
        _INTRODUCTION,
        "| fault | token | with a stand-in the client saw | ended | without one | ended | asked | freed |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for with_, without in zip(aided, alone, strict=True):
        freed = "yes" if with_.freed and without.freed else "NO"
        lines.append(
            f"| {with_.fault} | {with_.phase} | {with_.saw} | {with_.ended_s:.1f} s "
            f"| {without.saw} | {without.ended_s:.1f} s | {with_.asked} / {without.asked} | {freed} |"
        )
    lines += ["", *(f"- `{fault}`: {way}" for fault, way in _WAYS.items())]
    lines += [
        "",
        "## Circuit breaker (3 failures in a row, 2 s)",
        "",
        "| step | what came of it |",
        "|---|---|",
    ]
    lines += [f"| {what} | {came} |" for what, came in steps]
    lines += [
        "",
        "## Stop",
        "",
        "| DELETE /chat/turns/{id} | upstream saw its connection closed after |",
        "|---|---|",
    ]
    lines += [f"| {moment} | {seconds * 1000:.0f} ms |" for moment, seconds in stops]
    return "\n".join(lines) + "\n"


def run(data_dir: Path) -> tuple[list[Met], list[Met], list[tuple[str, str]], list[tuple[str, float]]]:
    """Everything: with a stand-in, without, the breaker's steps, the stops."""

    def measure_alone() -> list[Met]:
        with upstream_in_thread(pause_s=LIMIT_S * 3) as server:
            with stack(server, data_dir, stand_in=False) as live:
                met = measure(server, live)
            wait_until(lambda: server.open == 0)
        return met

    # Most of it is waiting for limits: the two servers, each with an upstream of its own, do it at once.
    with ThreadPoolExecutor() as pool, upstream_in_thread(pause_s=LIMIT_S * 3) as server:
        alone = pool.submit(measure_alone)
        with stack(server, data_dir, stand_in=True) as live:
            aided = measure(server, live)
            stops = measure_stop(server, live)
            steps = measure_breaker(server, live)
        wait_until(lambda: server.open == 0)
        return aided, alone.result(), steps, stops


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-dir", type=Path, default=ROOT / "var", help="a folder with a built index")
    DOC.parent.mkdir(exist_ok=True)
    DOC.write_text(document(*run(parser.parse_args().data_dir.resolve())), encoding="utf-8")
    print(DOC.read_text(encoding="utf-8"))
