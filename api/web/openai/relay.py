"""One raw request: to its provider, and back byte by byte. Knows no routes and no retrieval."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog
from starlette.types import Receive, Scope, Send

from api.access.auth import caller_of
from api.access.readers import Reader
from api.errors import ApiError, ProviderError, ProviderRejected
from api.events import Usage
from api.providers.openai.pool import Response
from api.providers.openai.provider import OpenAICompatible
from api.providers.openai.upstreams import Server
from api.web.openai.errors import error_event
from api.web.openai.raw_body import RawBody
from api.web.problems import refusal

if TYPE_CHECKING:
    from api.providers.stats import Outcome
    from api.services import Services

log = structlog.get_logger(__name__)
RESPONSES = "/v1/responses"
UPSTREAM = {"/v1/chat/completions": "/chat/completions", RESPONSES: "/responses"}
_PASSED = frozenset({b"content-type", b"content-length", b"content-encoding", b"retry-after"})
_PASSED_PREFIXES = (b"x-ratelimit-", b"openai-")
_PROMPT = re.compile(rb'"(?:prompt|input)_tokens"\s*:\s*(\d{1,12})')
_COMPLETION = re.compile(rb'"(?:completion|output)_tokens"\s*:\s*(\d{1,12})')
_TAIL = 4096
_WATCH_AFTER_S = 0.05


@dataclass(slots=True)
class Relay:
    """One raw request."""

    services: Services
    provider: OpenAICompatible
    raw: RawBody
    send: Send
    path: str
    reader: Reader = field(init=False)
    started: float = 0.0
    first_s: float | None = None
    streams: bool = False
    begun: bool = False
    tail: bytes = b""
    outcome: Outcome = "left"

    async def run(self, scope: Scope, receive: Receive) -> None:
        """Carries it out; a fault is told in OpenAI's shape, or in the stream once that began."""
        access = self.services.access
        try:
            caller = await access.admit(await caller_of(scope), "raw")
            self.services.readers.check_open()
            with access.slots.raw(caller.key), self.services.readers.reading(caller.key) as self.reader:
                self.check()
                self.provider.check_key()
                await self.services.providers.enter(self.provider.name)
                try:
                    await self._relay(receive)
                finally:
                    await self._settle()
        except ApiError as exc:
            if not self.begun:
                response = refusal(self.path, exc.status, exc.code, exc.message, retry_after=exc.retry_after)
                await response(scope, receive, self.send)
            elif self.streams:
                event = b"\n\n" + error_event(exc.status, exc.code, exc.message)
                await self.send({"type": "http.response.body", "body": event})
            else:
                # Only a closed connection tells that a body of unknown length is not whole.
                raise

    async def _relay(self, receive: Receive) -> None:
        endpoint = self.provider.endpoint
        streams = self.raw.fields.get("stream") is True
        idle_s = max(endpoint.first_token_timeout_s, endpoint.between_tokens_timeout_s)
        if not streams:
            idle_s = max(idle_s, self.services.settings.turns.timeout_s)
        caller = _Caller(receive)
        self.started = time.perf_counter()
        try:
            await self._ask(streams, idle_s)
        except asyncio.CancelledError:
            # Where the caller has left, leaving the response has hung up on the provider.
            if not caller.left():
                raise
        except ProviderError as exc:
            self.outcome = "rejected" if isinstance(exc, ProviderRejected) else "failed"
            raise
        finally:
            caller.forget()

    async def _ask(self, streams: bool, idle_s: float) -> None:
        """Asks a server and passes on what it says. Only one that was not reached is followed by another."""
        path, body = self.request()
        upstreams, tried = self.provider.upstreams, set[Server]()
        session = self.raw.opening() if upstreams.several else None
        while True:
            try:
                async with upstreams.lease(session, tried=tried) as lease:
                    tried.add(lease.server)
                    with await lease.server.pool.send("POST", path, body=body, idle_s=idle_s) as response:
                        if response.status < 400:
                            await upstreams.began(lease)
                        await self.begin(response, streams)
                        await self.reader.wait(self.pass_on(response))
                    lease.outcome = self.outcome = _outcome(response.status)
                return
            except ProviderError as exc:
                if exc.sent or not upstreams.others(tried):
                    raise

    def check(self) -> None:
        """Raises `InvalidRequest` where no server could answer."""
        if self.path == RESPONSES:
            self.raw.check_stream()
        else:
            self.raw.check()

    def request(self) -> tuple[str, bytes]:
        """What the provider is sent, and where."""
        return UPSTREAM[self.path], self.raw.naming(self.asked_model())

    def asked_model(self) -> str:
        """The provider's own name of the model asked for."""
        _, _, name = self.raw.model.partition("/")
        return self.provider.served() if name == self.provider.model else name

    async def pass_on(self, response: Response) -> None:
        """Sends the body as it comes."""
        more = True
        while chunk := await response.read():
            self.heard(chunk)
            more = not response.read_whole
            await self.send({"type": "http.response.body", "body": chunk, "more_body": more})
        if more:
            await self.send({"type": "http.response.body", "body": b""})

    def heard(self, chunk: bytes) -> None:
        """Keeps the time of the first byte, and the last ones: they tell the usage."""
        if self.first_s is None:
            self.first_s = time.perf_counter() - self.started
        self.tail = self.tail[-_TAIL:] + chunk if len(chunk) < _TAIL else chunk[-_TAIL:]

    async def begin(self, response: Response, streams: bool) -> None:
        """Sends status and headers."""
        if response.status in (401, 403):
            # The caller's key is good; it is ours that the provider does not take.
            name = self.provider.name
            log.error("gateway_key_refused", provider=name, status=response.status)
            message = f"'{name}' 서버가 이 서버의 API 키를 받지 않았습니다."
            raise ProviderRejected(name, message, english="the server does not take the API key")
        headers = [
            (name, value)
            for name, value in response.headers
            if name in _PASSED or name.startswith(_PASSED_PREFIXES)
        ]
        self.streams = streams and response.content_type == "text/event-stream"
        if self.streams:
            headers += [(b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")]
        self.begun = True
        await self.send({"type": "http.response.start", "status": response.status, "headers": headers})

    async def _settle(self) -> None:
        """Counts the request and tells the breaker."""
        metrics, name, usage = self.services.metrics, self.provider.name, None
        told = self.tail.rfind(b'"usage"')
        prompt, completion = _PROMPT.search(self.tail, told), _COMPLETION.search(self.tail, told)
        if told >= 0 and prompt and completion:
            counts = int(prompt[1]), int(completion[1])
            usage = Usage(
                prompt_tokens=counts[0],
                completion_tokens=counts[1],
                cost_usd=self.provider.price.of(*counts),
            )
            metrics.used(name, usage)
        await self.services.providers.settle(
            name,
            self.outcome,
            usage=usage,
            first_token_s=self.first_s,
            total_s=time.perf_counter() - self.started,
        )


class _Caller:
    """Cancels the current task when the caller leaves.

    Begins to watch after `_WATCH_AFTER_S` seconds: most answers are over by then, without a task to watch.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive, self._relay = receive, asyncio.current_task()
        self._watching: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(_WATCH_AFTER_S, self._watch)

    def left(self) -> bool:
        """Whether it was the caller who ended the task; it goes on then."""
        left = self._watching is not None and self._watching.done() and not self._watching.cancelled()
        if left and self._relay is not None:
            self._relay.uncancel()
        return left

    def forget(self) -> None:
        """Watches no longer."""
        self._timer.cancel()
        if self._watching is not None:
            self._watching.cancel()

    def _watch(self) -> None:
        self._watching = asyncio.create_task(self._gone())
        self._watching.add_done_callback(self._end)

    def _end(self, watching: asyncio.Task[None]) -> None:
        if not watching.cancelled() and self._relay is not None:
            self._relay.cancel()

    async def _gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass


def _outcome(status: int) -> Outcome:
    if status < 400:
        return "answered"
    return "failed" if status == 429 or status >= 500 else "rejected"
