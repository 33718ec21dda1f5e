"""Two model servers behind one provider; one is killed under 100 streams, grounded and then raw ones."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp

from tests.api.providers.upstream import MODEL, numbered
from tests.cluster.questions import questions
from tests.cluster.reader import Turn, ask
from tests.cluster.report import table, write_section
from tests.cluster.servers import Server
from tests.cluster.stack import Stack, stack

_STREAMS, _LATER = 100, 20
_PIECES, _PIECE_S = 50, 2.0
_APART_S = 0.4
# Longer than a breaker keeps a server out after it was found gone once.
_REST_S = 25.0
_COUNT = re.compile(
    r"smartstore_server_(requests_total|outstanding|resting)\{"
    r'(?:outcome="(\w+)",)?provider="pair",server="([^"]+)"\} (\d+)'
)


class Engine(Server):
    """An OpenAI-compatible server in a process of its own."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        super().__init__(folder)

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}/none/before/v1"

    def command(self) -> list[str]:
        """What starts it."""
        options = ["--port", str(self.port), "--piece-s", str(_PIECE_S), "--numbered", str(_PIECES)]
        return [sys.executable, "-m", "tests.api.providers.upstream", *options]

    def kill(self) -> None:
        """Ends it as a power cut would."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process = None


@dataclass
class Raw:
    """What the caller of a raw stream saw."""

    text: str = ""
    done: bool = False
    error: bool = False
    cut: bool = False

    @property
    def end(self) -> str:
        """whole, told that it failed, or cut without a word."""
        if self.done and self.text == "".join(numbered(_PIECES)):
            return "whole"
        return "told" if self.error else "cut"


@dataclass
class _Round:
    """100 streams of one kind, one server killed in the middle."""

    at_kill: dict[str, int] = field(default_factory=dict)
    ends: Counter[str] = field(default_factory=Counter)
    later: Counter[str] = field(default_factory=Counter)
    requests: Counter[str] = field(default_factory=Counter)


@contextmanager
def _engines() -> Iterator[tuple[Engine, Engine]]:
    with TemporaryDirectory(prefix="engines-") as folder:
        pair = Engine(Path(folder), "one"), Engine(Path(folder), "two")
        try:
            for engine in pair:
                engine.start()
            yield pair
        finally:
            for engine in pair:
                engine.stop()


def _settings(pair: tuple[Engine, Engine]) -> dict[str, object]:
    endpoint: dict[str, object] = {
        "base_url": [engine.url for engine in pair],
        "model": MODEL,
        "third_party": False,
    }
    endpoint["max_connections"] = 2 * _STREAMS
    return {
        "providers": {"default": "pair", "fallback": [], "endpoints": {"pair": endpoint}},
        "turns": {"max_concurrent": 2 * _STREAMS, "timeout_s": 400},
    }


async def _counts(http: aiohttp.ClientSession, cluster: Stack) -> tuple[dict[str, int], Counter[str]]:
    """Outstanding requests by server, and finished ones by server and outcome."""
    outstanding, finished = {}, Counter[str]()
    async with http.get(f"{cluster.apis[0].url}/metrics") as response:
        for kind, outcome, server, value in _COUNT.findall(await response.text()):
            if kind == "outstanding":
                outstanding[server] = int(value)
            elif outcome:
                finished[f"{outcome} {server}"] = int(value)
    return outstanding, finished


async def _all_streaming(http: aiohttp.ClientSession, cluster: Stack) -> dict[str, int]:
    async with asyncio.timeout(180):
        while True:
            outstanding, _ = await _counts(http, cluster)
            if sum(outstanding.values()) >= _STREAMS:
                return outstanding
            await asyncio.sleep(0.2)


async def _raw(http: aiohttp.ClientSession, url: str, n: int) -> Raw:
    seen = Raw()
    messages = [{"role": "user", "content": f"{n}번째 질문"}]
    body = {"model": f"pair/{MODEL}", "messages": messages, "stream": True}
    try:
        async with http.post(f"{url}/v1/chat/completions", json=body) as response:
            async for raw in response.content:
                data = raw.decode().strip().removeprefix("data: ")
                if data == "[DONE]":
                    seen.done = True
                elif data.startswith("{"):
                    event = json.loads(data)
                    seen.error |= "error" in event
                    for choice in event.get("choices", []):
                        seen.text += choice["delta"].get("content") or ""
    except aiohttp.ClientError:
        seen.cut = True
    return seen


def _end_of(turn: Turn) -> str:
    if turn.end != "completed":
        return turn.end
    if turn.doubled or not turn.in_order:
        return "doubled"
    if turn.events[-1][2]["answer"] != "".join(numbered(_PIECES)):
        return "not the servers' answer"
    switched = any(kind == "provider.switched" for _, kind, _ in turn.events)
    return "told that the text starts again" if switched else "whole"


async def _round(http: aiohttp.ClientSession, cluster: Stack, dying: Engine, *, raw: bool) -> _Round:
    url, source, seen = cluster.apis[0].url, questions(), _Round()
    _, before = await _counts(http, cluster)

    async def stream(n: int) -> str:
        return (
            (await _raw(http, url, n)).end
            if raw
            else _end_of(await ask(http, [url], next(source), patience_s=400))
        )

    streams = []
    for n in range(_STREAMS):
        streams.append(asyncio.create_task(stream(n)))
        # More questions at once than this machine can read would be refused.
        await asyncio.sleep(_APART_S)
    seen.at_kill = await _all_streaming(http, cluster)
    await asyncio.sleep(2 * _PIECE_S)
    await asyncio.to_thread(dying.kill)
    later = [asyncio.create_task(stream(n)) for n in range(_STREAMS, _STREAMS + _LATER)]
    seen.ends = Counter(await asyncio.gather(*streams))
    seen.later = Counter(await asyncio.gather(*later))
    _, after = await _counts(http, cluster)
    seen.requests = after - before
    await asyncio.to_thread(dying.start)
    return seen


async def _drill() -> None:
    with _engines() as pair, stack(apis=1, workers=0, settings=_settings(pair)) as cluster:
        limits = aiohttp.ClientTimeout(total=None, sock_read=90)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(timeout=limits, connector=connector) as http:
            grounded = await _round(http, cluster, pair[0], raw=False)
            await asyncio.sleep(_REST_S)
            raw = await _round(http, cluster, pair[0], raw=True)
    _write(grounded, raw, pair[0].url)


def _write(grounded: _Round, raw: _Round, dead: str) -> None:
    def row(name: str, seen: _Round) -> tuple[object, ...]:
        finished = sum(seen.ends.values())
        whole, told = seen.ends["whole"], seen.ends["told that the text starts again"] + seen.ends["told"]
        later = f"{seen.later['whole']} of {sum(seen.later.values())}"
        asked = sum(seen.requests.values())
        return name, seen.at_kill[dead], whole, told, finished - whole - told, later, asked

    head = ("streams", "on the killed server", "whole, nothing to tell", "told", "lost, doubled or cut",
            "begun right after it: whole", "requests sent")  # fmt: skip
    write_section(
        "engines",
        f"## 6. One of two model servers dies under {_STREAMS} streams (`kill -9`)\n\n"
        "One API, one provider with two servers and no stand-in; an answer takes "
        f"{_PIECES * _PIECE_S:g} s. Killed when all {_STREAMS} stream; {_LATER} more are asked at once.\n\n"
        + table(head, [row("grounded turns", grounded), row("raw completions", raw)])
        + "\n\nA grounded turn that is told (`provider.switched`) starts again on the other server and ends "
        "whole; a raw stream that is told ends with an error event: what its caller has read stays read.",
    )  # fmt: skip


def run() -> None:
    """Runs the drill."""
    asyncio.run(_drill())
