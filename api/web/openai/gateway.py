"""Raw models: a chat completion goes to its provider and comes back byte by byte.

The request is authorised, validated and counted; only the value of its `model` is exchanged.
What comes back is never decoded: the bytes received are the bytes sent. An ASGI layer in front of
the routes, since a route's machinery costs more than all of this. Everything but raw chat
completions passes through, with its body given again.

Knows no retrieval and no conversation: personal data is not masked here, as nothing is changed.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.access.auth import caller_of
from api.errors import ApiError, ProviderError, ProviderRejected
from api.events import Usage
from api.providers.openai.connection import Response
from api.providers.openai.provider import OpenAICompatible
from api.web.openai.errors import error_event
from api.web.openai.models import FAQ
from api.web.openai.raw_body import Malformed, RawBody, read_body
from api.web.problems import refusal

if TYPE_CHECKING:
    from api.providers.stats import Outcome
    from api.services import Services

log = structlog.get_logger(__name__)
PATH = "/v1/chat/completions"
_PASSED = frozenset({b"content-type", b"content-length", b"content-encoding", b"retry-after"})
_PASSED_PREFIXES = (b"x-ratelimit-", b"openai-")
_PROMPT = re.compile(rb'"prompt_tokens"\s*:\s*(\d{1,12})')
_COMPLETION = re.compile(rb'"completion_tokens"\s*:\s*(\d{1,12})')
_TAIL = 4096
_WATCH_AFTER_S = 0.05


class _Route:
    """What the request log calls these requests."""

    path = PATH


class Gateway:
    """ASGI middleware that answers raw chat completions itself."""

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        """`max_bytes`: of a raw request's body."""
        self._app, self._max = app, max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a raw chat completion; passes anything else on."""
        if scope["type"] != "http" or scope["path"] != PATH or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        services: Services = scope["state"]["services"]
        messages = await _read(receive, self._max)
        try:
            raw = read_body(b"".join(message.get("body", b"") for message in messages))
            provider = _provider(raw.model, services)
        except Malformed:
            provider = None
        if provider is None:
            await self._app(scope, _again(messages, receive), send)
            return
        scope["route"] = _Route
        await _Relay(services, provider, raw, send).run(scope, receive)


@dataclass(slots=True)
class _Relay:
    """One raw request."""

    services: Services
    provider: OpenAICompatible
    raw: RawBody
    send: Send
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
            with access.slots.raw(caller.key):
                self.raw.check()
                self.provider.check_key()
                breaker = self.services.providers.breaker
                if breaker is not None:
                    await breaker.enter(self.provider.name)
                try:
                    await self._relay(receive)
                finally:
                    await self._settle()
        except ApiError as exc:
            if not self.begun:
                response = refusal(PATH, exc.status, exc.code, exc.message, retry_after=exc.retry_after)
                await response(scope, receive, self.send)
            elif self.streams:
                event = b"\n\n" + error_event(exc.status, exc.code, exc.message)
                await self.send({"type": "http.response.body", "body": event})
            else:
                # Only a closed connection tells that a body of unknown length is not whole.
                raise

    async def _relay(self, receive: Receive) -> None:
        endpoint, upstream = self.provider.endpoint, self.provider.upstream
        _, _, name = self.raw.model.partition("/")
        streams = self.raw.fields.get("stream") is True
        idle_s = max(endpoint.first_token_timeout_s, endpoint.between_tokens_timeout_s)
        if not streams:
            idle_s = max(idle_s, self.services.settings.turns.timeout_s)
        body = self.raw.naming(self.provider.served() if name == self.provider.model else name)
        caller = _Caller(receive)
        self.started = time.perf_counter()
        try:
            response = await upstream.send("POST", "/chat/completions", body=body, idle_s=idle_s)
            with response:
                await self._begin(response, streams)
                more = True
                while chunk := await response.read():
                    if self.first_s is None:
                        self.first_s = time.perf_counter() - self.started
                    self.tail = self.tail[-_TAIL:] + chunk if len(chunk) < _TAIL else chunk[-_TAIL:]
                    more = not response.read_whole
                    await self.send({"type": "http.response.body", "body": chunk, "more_body": more})
            self.outcome = _outcome(response.status)
            if more:
                await self.send({"type": "http.response.body", "body": b""})
        except asyncio.CancelledError:
            # Where the caller has left, leaving the response has hung up on the provider.
            if not caller.left():
                raise
        except ProviderError as exc:
            self.outcome = "rejected" if isinstance(exc, ProviderRejected) else "failed"
            raise
        finally:
            caller.forget()

    async def _begin(self, response: Response, streams: bool) -> None:
        """Sends status and headers."""
        if response.status in (401, 403):
            # The caller's key is good; it is ours that the provider does not take.
            name = self.provider.name
            log.error("gateway_key_refused", provider=name, status=response.status)
            raise ProviderRejected(name, f"'{name}' 서버가 이 서버의 API 키를 받지 않았습니다.")
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


def _provider(model: str, services: Services) -> OpenAICompatible | None:
    """The endpoint of a raw model's name; None for any other name."""
    name, slash, rest = model.partition("/")
    providers = services.providers
    if name == FAQ or not slash or not rest or name not in providers.names:
        return None
    provider = providers.get(name)
    return provider if isinstance(provider, OpenAICompatible) else None


async def _read(receive: Receive, most: int) -> list[Message]:
    """The body's messages, up to `most` bytes: what is longer is refused by who reads the rest."""
    messages, size = [], 0
    while True:
        message = await receive()
        messages.append(message)
        size += len(message.get("body", b""))
        if message["type"] != "http.request" or not message.get("more_body") or size > most:
            return messages


def _again(messages: Sequence[Message], receive: Receive) -> Receive:
    """A `receive` that gives the messages already read once more."""
    left = list(messages)

    async def again() -> Message:
        return left.pop(0) if left else await receive()

    return again


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
