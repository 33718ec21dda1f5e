"""A raw response of a provider that knows only chat completions: asked as one, told as a response.

The one raw request that is decoded. Knows no routes and no retrieval.
"""

from __future__ import annotations

import json

from api.errors import ProviderError
from api.providers.openai.events import EventStream, EventTooLong
from api.providers.openai.pool import Response
from api.web.openai.relay import Relay
from api.web.openai.responses.from_chat import TranslatedResponse, read_json
from api.web.openai.responses.to_chat import chat_request

_LONGEST = 2**25
_HEADERS = [(b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")]


class TranslatingRelay(Relay):
    """One raw response, through a chat completion."""

    __slots__ = ()

    def check(self) -> None:
        """Raises `InvalidRequest` also for what a chat completion cannot do."""
        super().check()
        self.request()

    def request(self) -> tuple[str, bytes]:
        """The chat completion to ask for."""
        field = self.provider.endpoint.max_tokens_field
        body = chat_request(self.raw.fields, model=self.asked_model(), max_tokens_field=field)
        return "/chat/completions", body

    async def begin(self, response: Response, streams: bool) -> None:
        """Sends status and headers of what will be written; a refusal goes through as it came."""
        self.streams = streams and response.content_type == "text/event-stream"
        if response.status != 200 or self.streams != streams:
            await super().begin(response, streams)
            return
        if self.streams:
            await self._start([(b"content-type", b"text/event-stream; charset=utf-8"), *_HEADERS])

    async def pass_on(self, response: Response) -> None:
        """Sends the completion as a response."""
        if response.status != 200 or (self.begun and not self.streams):
            await super().pass_on(response)
            return
        told = TranslatedResponse(self.raw.fields)
        if self.streams:
            await self._pass_on_stream(response, told)
            return
        body = await response.read_up_to(_LONGEST)
        self.heard(body)
        try:
            whole = told.whole(read_json(body))
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as exc:
            raise self._unreadable() from exc
        content = json.dumps(whole, ensure_ascii=False).encode()
        length = str(len(content)).encode()
        await self._start([(b"content-type", b"application/json"), (b"content-length", length)])
        await self.send({"type": "http.response.body", "body": content})

    async def _pass_on_stream(self, response: Response, told: TranslatedResponse) -> None:
        for event in told.opening():
            await self._send(event)
        events = EventStream(response)
        try:
            while (data := await events.next()) is not None:
                self.heard(data)
                if data == b"[DONE]":
                    continue
                chunk = read_json(data)
                if chunk.get("error"):
                    raise ProviderError(self.provider.name, f"'{self.provider.name}' 서버에 오류가 났습니다.")
                for event in told.take(chunk):
                    await self._send(event)
        except (ValueError, KeyError, TypeError, AttributeError, EventTooLong) as exc:
            raise self._unreadable() from exc
        for event in told.end():
            await self._send(event)
        await self.send({"type": "http.response.body", "body": b""})

    async def _start(self, headers: list[tuple[bytes, bytes]]) -> None:
        self.begun = True
        await self.send({"type": "http.response.start", "status": 200, "headers": headers})

    async def _send(self, event: bytes) -> None:
        await self.send({"type": "http.response.body", "body": event, "more_body": True})

    def _unreadable(self) -> ProviderError:
        name = self.provider.name
        message = f"'{name}'이(가) 읽을 수 없는 답변을 보냈습니다."
        return ProviderError(name, message, english="the answer cannot be read")
