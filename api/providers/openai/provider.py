"""The provider for any OpenAI-compatible server: OpenAI, vLLM and others, by configuration alone.

Streams `POST /chat/completions`. Tries again only before the first token, and never for longer
than that token may take. Knows neither conversations nor which provider stands in for it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import structlog

from api.errors import ProviderError, ProviderRejected, ProviderTimeout
from api.masking import mask_personal_data, mask_secrets
from api.providers.base import Chunk, GenerationOptions
from api.providers.model_alias import ModelAlias
from api.providers.openai.chunks import BadChunk, Completion, Price
from api.providers.openai.events import EventStream, EventTooLong
from api.providers.openai.pool import Response
from api.providers.openai.upstreams import Lease, Server, Upstreams
from api.providers.openai.window import ContextWindow, is_too_long
from api.providers.retry import backoff, retry_after
from api.settings import ENV_PREFIX, Endpoint
from retrieval.prompt import Exchange, GroundedPrompt

log = structlog.get_logger(__name__)
_DEFAULT_MAX_TOKENS = 2048
_AGAIN = frozenset({408, 409, 425, 429})
_END_S = 1.0
_DRAIN_S = 0.1
_PROBE_S = 2.0
_LONGEST_LIST = 2**22


class TooLong(ProviderRejected):
    """The server has no room for the prompt and its answer; `said` is what it told."""

    english = "the prompt is too long for the model"

    def __init__(self, provider: str, message: str, said: str) -> None:
        super().__init__(provider, message)
        self.said = said


class OpenAICompatible:
    """Answers through one endpoint.

    Args:
        name: what settings and requests call it.
        endpoint: where it is, what it runs, and how long it may take.
        upstreams: open connections to its servers.
        mask: replace personal data before text leaves for a third party.
        alias: what the endpoint's model stands for, where that can change.
    """

    llm = True

    def __init__(
        self,
        name: str,
        endpoint: Endpoint,
        upstreams: Upstreams,
        *,
        mask: bool = True,
        alias: ModelAlias | None = None,
    ) -> None:
        self.name, self.model, self.third_party = name, endpoint.model, endpoint.third_party
        self.endpoint, self.upstreams = endpoint, upstreams
        self._mask = mask and endpoint.third_party
        self._alias = alias
        self._window = ContextWindow(endpoint, upstreams)
        self.price = Price(endpoint.usd_per_million_input, endpoint.usd_per_million_output)

    def served(self, session: str | None = None) -> str:
        """The model that answers this session: `model`, or what it stands for."""
        return self._alias.resolve(session) if self._alias else self.model

    async def stream(self, prompt: GroundedPrompt, options: GenerationOptions) -> AsyncGenerator[Chunk]:
        """Streams the answer; every chunk carries the usage so far.

        Before the first token a server that fails is followed by the others, then by another try. What the
        context window has no room for is left out; where the server finds the rest too long all the same,
        it is fitted to the window that the refusal names, or half of it is tried once.

        Raises:
            ProviderTimeout: no first token, or no further one, in time.
            ProviderRejected: the server refuses the request; trying again cannot help.
            ProviderError: it cannot be reached, fails, or breaks off.
        """
        self.check_key()
        prompt = _masked(prompt) if self._mask else prompt
        deadline = asyncio.get_running_loop().time() + self.endpoint.first_token_timeout_s
        room, model = options.max_tokens or _DEFAULT_MAX_TOKENS, self.served(options.session)
        fitted, refitted, halved = await self._window.fit(prompt, room, model=model), False, False
        attempt, shown, tried = 0, False, set[Server]()
        while True:
            if trimmed := fitted.trimmed_from(prompt):
                log.info(
                    "prompt_trimmed",
                    provider=self.name,
                    exchanges=trimmed.exchanges,
                    passages=trimmed.passages,
                    window=self._window.tokens,
                )
                yield Chunk(trimmed=trimmed)
            body = self._body(fitted.prompt, replace(options, max_tokens=fitted.max_tokens))
            try:
                async with aclosing(self._attempt(body, deadline, options.session, tried)) as chunks:
                    async for chunk in chunks:
                        shown = shown or bool(chunk.text)
                        yield chunk
                return
            except TooLong as exc:
                if halved:
                    raise
                again = await self._window.fit_after(exc.said, fitted, prompt, model=model)
                if again and not refitted:
                    fitted, refitted = again, True
                else:
                    fitted, halved = self._window.half(fitted), True
                tried.clear()
                continue
            except ProviderError as exc:
                elsewhere = self.upstreams.others(tried)
                wait = 0.0 if elsewhere else backoff(attempt, exc.retry_after)
                late = asyncio.get_running_loop().time() + wait >= deadline
                spent = attempt >= self.endpoint.max_retries and not elsewhere
                if shown or late or not exc.retryable or spent:
                    raise
                log.info("provider_retry", provider=self.name, error=str(exc), wait_s=round(wait, 2))
            if not elsewhere:
                attempt += 1
                tried.clear()
                await asyncio.sleep(wait)

    async def probe(self, server: Server) -> None:
        """Asks a server for its models; raises `ProviderError` where it cannot answer questions."""
        self.check_key()
        try:
            async with asyncio.timeout(_PROBE_S):
                response = await server.pool.send("GET", "/models")
                with response:
                    listed = await response.read_up_to(_LONGEST_LIST) if response.status == 200 else b""
                    if response.status not in (200, 404, 405):
                        raise await self._refusal(response)
        except TimeoutError as exc:
            raise self._late("상태 확인에") from exc
        names, model = _model_ids(listed), self.served()
        if names and model not in names:
            raise ProviderRejected(
                self.name,
                f"'{self.name}' 서버에 모델 '{model}'이(가) 없습니다.",
                english=f"the server has no model {model!r}",
            )

    async def _attempt(
        self, body: dict[str, Any], deadline: float, session: str | None, tried: set[Server]
    ) -> AsyncGenerator[Chunk]:
        """One request, to a server not `tried` yet; `deadline` (loop time) is for its first token."""
        async with self.upstreams.lease(session, tried=tried) as lease:
            tried.add(lease.server)
            async with aclosing(self._ask(lease, body, deadline)) as chunks:
                async for chunk in chunks:
                    if chunk.text and not lease.began:
                        await self.upstreams.began(lease)
                    yield chunk
            lease.outcome = "answered"

    async def _ask(self, lease: Lease, body: dict[str, Any], deadline: float) -> AsyncGenerator[Chunk]:
        """One server's answer."""
        completion, loop = self._completion(body), asyncio.get_running_loop()
        between_s = self.endpoint.between_tokens_timeout_s
        content = json.dumps(body, ensure_ascii=False).encode()
        try:
            async with asyncio.timeout_at(deadline):
                response = await lease.server.pool.send("POST", "/chat/completions", body=content)
        except TimeoutError as exc:
            raise self._late("첫 응답을") from exc
        with response:
            await self._check(response)
            events = EventStream(response)
            while not completion.overlong:
                data = await self._next(events, completion, deadline)
                if data is None:
                    break
                seen, over = completion.progress, (completion.ended, completion.done)
                text = self._read(completion, data)
                if (completion.ended, completion.done) != over:
                    # Usage may follow; and a response read to its end leaves its connection reusable.
                    # The time is set once, whatever else the server goes on to say.
                    deadline = loop.time() + (_DRAIN_S if completion.done else _END_S)
                elif completion.progress > seen:
                    deadline = loop.time() + between_s
                if text:
                    yield Chunk(text, completion.usage())
            else:
                log.warning("provider_overlong", provider=self.name, pieces=completion.progress)
                completion.ended = True
            if not completion.ended:
                message = f"'{self.name}'의 답변이 중간에 끊겼습니다."
                raise ProviderError(self.name, message, english="the answer broke off")
            rest = completion.rest()
            if not completion.visible:
                log.warning("provider_empty", provider=self.name, finish_reason=completion.finish_reason)
                message = f"'{self.name}'이(가) 빈 답변을 보냈습니다."
                raise ProviderError(self.name, message, english="the answer was empty")
            yield Chunk(rest, completion.usage(), completion.finish_reason)

    def _completion(self, body: dict[str, Any]) -> Completion:
        chars = sum(len(message["content"]) for message in body["messages"])
        bound = int(body.get(self.endpoint.max_tokens_field) or _DEFAULT_MAX_TOKENS)
        return Completion(chars, bound, self.price, opens_thinking=self.endpoint.opens_thinking)

    async def _next(self, events: EventStream, completion: Completion, deadline: float) -> bytes | None:
        """The next event; None at the end. Once the answer is complete, nothing fails any more."""
        try:
            async with asyncio.timeout_at(deadline):
                return await events.next()
        except (TimeoutError, ProviderError) as exc:
            if completion.ended:
                return None
            if isinstance(exc, ProviderError):
                raise
            raise self._late("다음 응답을" if completion.progress else "첫 응답을") from exc
        except EventTooLong as exc:
            if completion.ended:
                return None
            raise self._unreadable("an endless line") from exc

    def _read(self, completion: Completion, data: bytes) -> str:
        try:
            return completion.read(data)
        except BadChunk as exc:
            raise self._unreadable(str(exc)) from exc

    async def _check(self, response: Response) -> None:
        """Raises what a status, content type or encoding other than a stream's means."""
        if response.status != 200:
            raise await self._refusal(response)
        if response.content_type != "text/event-stream":
            raise self._unreadable(f"content type {response.content_type}")
        # None was asked for; a proxy may compress all the same.
        if (encoding := response.header("content-encoding").lower()) not in ("", "identity"):
            raise self._unreadable(f"content encoding {encoding}")

    async def _refusal(self, response: Response) -> ProviderError:
        status = response.status
        try:
            async with asyncio.timeout(_END_S):
                told = self._safe((await response.read_up_to(2048)).decode(errors="replace"))
        except TimeoutError:
            told = ""
        log.warning("provider_refused", provider=self.name, status=status, told=told[:500])
        spent = status == 429 and "insufficient_quota" in told
        if (status in _AGAIN or status >= 500) and not spent:
            reason = "요청이 많아" if status == 429 else "오류가 나서"
            return ProviderError(
                self.name,
                f"'{self.name}' 서버에 {reason} 답하지 못했습니다(HTTP {status}).",
                english=f"the server failed (HTTP {status})",
                retry_after=retry_after(response.header),
            )
        if is_too_long(status, told):
            return TooLong(self.name, f"'{self.name}' 모델에 비해 질문과 자료가 너무 깁니다.", told)
        message = f"'{self.name}' 서버가 요청을 거절했습니다(HTTP {status})."
        return ProviderRejected(self.name, message, english=f"the server refused the request (HTTP {status})")

    def _unreadable(self, what: str) -> ProviderError:
        log.warning("provider_unreadable", provider=self.name, received=self._safe(what))
        message = f"'{self.name}'이(가) 읽을 수 없는 답변을 보냈습니다."
        return ProviderError(self.name, message, english="the answer cannot be read")

    def _safe(self, said: str) -> str:
        """What a server said as it may be logged."""
        return mask_personal_data(mask_secrets(said, self.endpoint.api_key.get_secret_value()))

    def _late(self, what: str) -> ProviderTimeout:
        return ProviderTimeout(self.name, f"'{self.name}'이(가) {what} 제때 보내지 않았습니다.")

    def check_key(self) -> None:
        """Raises `ProviderRejected` where the endpoint needs a key and has none."""
        if self.third_party and not self.endpoint.api_key.get_secret_value():
            variable = f"{ENV_PREFIX}PROVIDERS__ENDPOINTS__{self.name.upper()}__API_KEY"
            raise ProviderRejected(
                self.name,
                f"provider '{self.name}'의 API 키가 없습니다. {variable}를 설정해 주세요.",
                english=f"there is no API key; set {variable}",
            )

    def _body(self, prompt: GroundedPrompt, options: GenerationOptions) -> dict[str, Any]:
        """The request's body; the endpoint's extra body comes last, and its nulls remove fields."""
        given = {
            "model": self.served(options.session),
            "messages": prompt.messages(),
            "stream": True,
            "stream_options": {"include_usage": True},
            self.endpoint.max_tokens_field: options.max_tokens or _DEFAULT_MAX_TOKENS,
            "temperature": options.temperature,
            "top_p": options.top_p,
            "stop": list(options.stop) or None,
            "seed": options.seed,
            "user": options.user,
        } | self.endpoint.extra_body
        return {key: value for key, value in given.items() if value is not None}


def _masked(prompt: GroundedPrompt) -> GroundedPrompt:
    """The prompt without the seller's personal data; the FAQ is public and stays as it is."""
    return replace(
        prompt,
        question=mask_personal_data(prompt.question),
        standalone=mask_personal_data(prompt.standalone),
        history=tuple(
            Exchange(mask_personal_data(e.question), mask_personal_data(e.answer)) for e in prompt.history
        ),
    )


def _model_ids(listed: bytes) -> set[str]:
    """The ids in a model list; empty where it is none."""
    try:
        return {str(model["id"]) for model in json.loads(listed)["data"]}
    except (ValueError, TypeError, KeyError):
        return set()
