"""A small real OpenAI-compatible server that misbehaves on demand.

The path says how: `http://127.0.0.1:PORT/<fault>/<phase>/v1`, e.g. `/stall/after/v1`, or
`/none/before/v1` for a server that behaves. It counts what it sees: requests, open
connections, and when clients hung up on an unfinished answer.

By hand: python -m tests.api.providers.upstream --port 9001
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

FAULTS = ("slow", "stall", "429", "500", "cut", "malformed", "wrong_type", "endless")
PHASES = ("before", "after")
PIECES = ("업스트림이 ", "정상으로 ", "보낸 ", "답변입니다 ", "[1].")
ANSWER = "".join(PIECES)
FIRST = "고장 난 "
MODEL = "small-model"
_ERRORS = {"401": "Incorrect API key: sk-ours", "429": "Rate limit reached", "500": "The server had an error"}


@dataclass
class Seen:
    """One request as the server saw it; times are `time.monotonic()`."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    at: float
    finished: bool = False
    hung_up_at: float | None = None


@dataclass
class Upstream:
    """The server's state, which tests read and set.

    Attributes:
        pause_s: how long a slow server is silent.
        piece_s: pause between two pieces of an answer.
        healed: every path behaves from now on.
        think: reasoning to send before the answer, in the way named: `tag` or `field`.
        usage: report usage when asked to.
        retry_after: the header of a 429.
        pieces: the answer of a behaving server.
        events: the data of the events to send in place of all others; the last one for ever where
            `endless` is set.
        reply: makes the answer from the request's body, in place of `pieces`.
        window: the context window in tokens; a longer prompt with its answer gets 400. 0: without end.
        lists_window: the list of models tells it, as vLLM's does.
        says_window: a refusal tells it.
        tokenizes: has `POST /tokenize`, as vLLM has.
        requests: what was asked, in order.
        open: connections open now.
    """

    pause_s: float = 5.0
    piece_s: float = 0.0
    healed: bool = False
    think: str = ""
    usage: bool = True
    retry_after: str = "1"
    pieces: tuple[str, ...] = PIECES
    events: tuple[str, ...] = ()
    endless: bool = False
    reply: Callable[[dict[str, Any]], str] | None = None
    window: int = 0
    lists_window: bool = True
    says_window: bool = True
    tokenizes: bool = True
    port: int = 0
    requests: list[Seen] = field(default_factory=list)
    open: int = 0
    connections: int = 0
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    def url(self, fault: str = "none", phase: str = "before") -> str:
        """The base URL of a server with this fault."""
        return f"http://127.0.0.1:{self.port}/{fault}/{phase}/v1"

    @property
    def streaming(self) -> int:
        """Answers that are being sent now."""
        return sum(1 for seen in self.requests if not seen.finished and seen.hung_up_at is None)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers the requests of one connection until either side closes it."""
        self.open += 1
        self.connections += 1
        self.writers.add(writer)
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            self.writers.discard(writer)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:]) if k}
        raw = await reader.readexactly(int(headers.get("content-length", 0)))
        method, path, _ = head[0].split(" ")
        seen = Seen(path, headers, json.loads(raw) if raw else {}, time.monotonic())
        if method == "POST":
            self.requests.append(seen)
        answering = asyncio.create_task(_Answer(self, seen, writer).send(method))
        watching = asyncio.create_task(_eof(reader))
        try:
            await asyncio.wait({answering, watching}, return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                seen.hung_up_at = time.monotonic()
                return False
            keep = answering.result()
            seen.finished = True
            return keep
        except ConnectionError:
            seen.hung_up_at = time.monotonic()
            raise
        finally:
            for task in (answering, watching):
                task.cancel()
            await asyncio.gather(answering, watching, return_exceptions=True)


async def _eof(reader: asyncio.StreamReader) -> None:
    """Returns when the client closed its side."""
    while not reader.at_eof():  # noqa: ASYNC110 (reading would take bytes of the next request)
        await asyncio.sleep(0.005)


class _Answer:
    """One response."""

    def __init__(self, server: Upstream, seen: Seen, writer: asyncio.StreamWriter) -> None:
        self._server, self._seen, self._writer = server, seen, writer
        _, fault, phase, *_ = seen.path.split("/")
        self._fault = "none" if server.healed else fault
        self._phase = phase

    async def send(self, method: str) -> bool:
        """Sends it; False where the connection ends with it."""
        if method == "GET":
            model = {"id": MODEL, "object": "model", "owned_by": "tests"}
            if self._server.window and self._server.lists_window:
                model["max_model_len"] = self._server.window
            return await self._plain(200, json.dumps({"object": "list", "data": [model]}))
        if self._seen.path.endswith("/tokenize"):
            return await self._tokenized()
        fault = self._fault if self._phase == "before" else ""
        match fault:
            case "401" | "429" | "500":
                return await self._plain(int(fault), json.dumps({"error": {"message": _ERRORS[fault]}}))
            case "wrong_type":
                return await self._plain(200, "<html>점검 중입니다</html>", kind="text/html")
            case "slow":
                await asyncio.sleep(self._server.pause_s)
        if self._server.window and (said := self._too_long()):
            return await self._plain(400, json.dumps({"error": {"message": said, "code": 400}}))
        if not self._seen.body.get("stream"):
            return await self._plain(200, json.dumps(self._whole(), ensure_ascii=False))
        await self._head(200, "text/event-stream", "Transfer-Encoding: chunked\r\n")
        await self._piece(delta={"role": "assistant", "content": ""})
        if self._fault == "none" or fault == "slow":
            return await self._finish()
        if self._phase == "after":
            await self._piece(delta={"content": FIRST})
        return await self._misbehave()

    async def _tokenized(self) -> bool:
        if not self._server.tokenizes:
            return await self._plain(404, json.dumps({"detail": "Not Found"}))
        count = count_tokens(self._seen.body)
        told = {"count": count, "max_model_len": self._server.window, "tokens": [1] * count}
        return await self._plain(200, json.dumps(told))

    def _too_long(self) -> str:
        prompt, window = count_tokens(self._seen.body), self._server.window
        answer = self._seen.body.get("max_tokens", 16)
        if not self._server.says_window and prompt + answer > window:
            return "Input length exceeds the context length."
        if answer > window:
            return f"max_tokens={answer} cannot be greater than max_model_len={window}."
        asked = prompt + answer
        if asked <= window:
            return ""
        return (
            f"This model's maximum context length is {window} tokens. However, you requested {asked} tokens "
            f"({prompt} in the messages, {asked - prompt} in the completion). Please reduce the length."
        )

    async def _misbehave(self) -> bool:
        match self._fault:
            case "slow":
                await asyncio.sleep(self._server.pause_s)
                return await self._finish()
            case "stall":
                await asyncio.sleep(3600)
            case "429" | "500":
                error = {"message": _ERRORS[self._fault], "code": int(self._fault)}
                await self._event(json.dumps({"error": error}))
                return await self._end()
            case "cut":
                await self._event('{"choices":[{"index":0,"del', whole=False)
                self._writer.transport.abort()
                return False
            case "malformed":
                await self._event('{"choices":[{"index":0,"delta":{"content":"반쪽')
                return await self._finish()
            case "wrong_type":
                await self._chunk(b"<html><body>502 Bad Gateway</body></html>\n\n")
                return await self._end()
            case "endless":
                while True:
                    if self._phase == "before":
                        await self._chunk(b": still alive\n\n")
                    else:
                        await self._piece(delta={"content": "끝없는 "})
                    await asyncio.sleep(0.002)
        return False

    async def _finish(self) -> bool:
        server = self._server
        if server.events:
            for event in server.events:
                await self._event(event)
            while server.endless:
                await self._event(server.events[-1])
                await asyncio.sleep(0.02)
            return await self._end()
        if server.think == "field":
            await self._piece(delta={"reasoning_content": "속으로 한 생각"})
        pieces = (server.reply(self._seen.body),) if server.reply else server.pieces
        if server.think == "tag":
            pieces = ("<thi", "nk>속으로 한 ", "생각</th", "ink>\n\n", *pieces)
        for piece in pieces:
            await self._piece(delta={"content": piece})
            await asyncio.sleep(server.piece_s)
        await self._piece(delta={}, finish_reason="stop")
        if server.usage and (self._seen.body.get("stream_options") or {}).get("include_usage"):
            usage = {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200}
            await self._event(json.dumps({**self._frame(), "choices": [], "usage": usage}))
        await self._event("[DONE]")
        return await self._end()

    def _frame(self) -> dict[str, Any]:
        model = self._seen.body.get("model")
        return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model}

    def _whole(self) -> dict[str, Any]:
        message = {"role": "assistant", "content": "".join(self._server.pieces)}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        usage = {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200}
        return {**self._frame(), "object": "chat.completion", "choices": [choice], "usage": usage}

    async def _piece(self, **choice: Any) -> None:
        frame = {**self._frame(), "choices": [{"index": 0, "finish_reason": None, **choice}]}
        await self._event(json.dumps(frame, ensure_ascii=False))

    async def _event(self, data: str, *, whole: bool = True) -> None:
        await self._chunk(f"data: {data}{chr(10) * 2 * whole}".encode())

    async def _chunk(self, data: bytes) -> None:
        self._writer.write(b"%x\r\n%b\r\n" % (len(data), data))
        await self._writer.drain()

    async def _end(self) -> bool:
        self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()
        return True

    async def _plain(self, status: int, text: str, *, kind: str = "application/json") -> bool:
        body = text.encode()
        extra = f"Content-Length: {len(body)}\r\n"
        if status == 429:
            extra += f"Retry-After: {self._server.retry_after}\r\n"
        await self._head(status, kind, extra)
        self._writer.write(body)
        await self._writer.drain()
        return True

    async def _head(self, status: int, kind: str, extra: str) -> None:
        self._writer.write(
            f"HTTP/1.1 {status} X\r\nContent-Type: {kind}; charset=utf-8\r\n{extra}\r\n".encode()
        )


def count_tokens(body: dict[str, Any]) -> int:
    """This model's tokens of a prompt: five to a message, two to three characters."""
    return sum(5 + len(message["content"]) * 2 // 3 for message in body["messages"])


@asynccontextmanager
async def upstream(**options: Any) -> AsyncIterator[Upstream]:
    """A server in this event loop."""
    state = Upstream(**options)
    server = await asyncio.start_server(state.serve, "127.0.0.1", state.port)
    state.port = server.sockets[0].getsockname()[1]
    try:
        yield state
    finally:
        server.close()
        for writer in tuple(state.writers):
            writer.transport.abort()
        while state.open:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


@contextmanager
def upstream_in_thread(**options: Any) -> Iterator[Upstream]:
    """A server in a thread of its own, for tests without an event loop."""
    ready, over = threading.Event(), threading.Event()
    found: list[Upstream] = []

    async def run() -> None:
        async with upstream(**options) as state:
            found.append(state)
            ready.set()
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    if not ready.wait(60):
        raise RuntimeError("the upstream server did not start")
    try:
        yield found[0]
    finally:
        over.set()
        thread.join(10)


def numbered(count: int = 10) -> tuple[str, ...]:
    """An answer whose pieces are all different, so that a doubled one shows."""
    return (*(f"{n}번째 조각입니다. " for n in range(1, count)), "끝 [1].")


async def _main(port: int, piece_s: float, pieces: tuple[str, ...]) -> None:
    async with upstream(port=port, piece_s=piece_s, pieces=pieces) as state:
        print(f"{state.url()}  (model {MODEL})", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, default=9001)
    parser.add_argument("--piece-s", type=float, default=0.05, help="pause between two pieces of an answer")
    parser.add_argument("--numbered", type=int, default=0, help="answer with so many different pieces")
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main(given.port, given.piece_s, numbered(given.numbered) if given.numbered else PIECES))
