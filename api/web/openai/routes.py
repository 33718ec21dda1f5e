"""OpenAI's API over `faq` models and the embedder. Raw models never get here (`gateway`)."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Any

import anyio
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from api.errors import ApiError, InvalidRequest, SearchUnavailable
from api.events import ProviderSwitched, TurnFailed
from api.services import Services
from api.turns.start import Question, ask
from api.web.openai.completions import DONE, Completion, status_of
from api.web.openai.dialogue import question_of
from api.web.openai.errors import error_event
from api.web.openai.models import UnknownModel, chat_models, faq_provider
from api.web.openai.requests import ChatCompletionRequest, EmbeddingRequest
from api.web.routes.dependencies import CallerDep, ServicesDep
from api.web.streaming import EventStream
from retrieval.errors import EmbedderError
from retrieval.tokenizer import KoreanTokenizer

router = APIRouter(prefix="/v1", tags=["OpenAI"])
_STARTED = int(time.time())
# No embedder here reads more of a text than about that much; the rest would be counted for nothing.
_MOST_READ = 4000
_embedding = asyncio.Semaphore(1)


class TurnFault(ApiError):
    """The turn ended without an answer."""

    def __init__(self, event: TurnFailed) -> None:
        super().__init__(event.message)
        self.code, self.status = event.code, status_of(event.code)


@router.get("/models")
async def models(services: ServicesDep, caller: CallerDep) -> dict[str, Any]:
    """The models that this key may use."""
    return {"object": "list", "data": [_model(name) for name in _names(services, raw="raw" in caller.scopes)]}


@router.get("/models/{model:path}")
async def model(model: str, services: ServicesDep, caller: CallerDep) -> dict[str, Any]:
    """One model."""
    names = _names(services, raw="raw" in caller.scopes)
    if model not in names:
        raise UnknownModel(model, names)
    return _model(model)


@router.get("/chat/completions")
async def stored_completions(_services: ServicesDep, _caller: CallerDep) -> dict[str, Any]:
    """The completions kept under `store`: none ever, since that is not offered here."""
    return {"object": "list", "data": [], "first_id": "", "last_id": "", "has_more": False}


_COMPLETION: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A completion, or its chunks.",
        "content": {"application/json": {}, "text/event-stream": {}},
    }
}


@router.post("/chat/completions", responses=_COMPLETION)
async def chat_completions(
    body: ChatCompletionRequest, request: Request, services: ServicesDep, caller: CallerDep
) -> Response:
    """Answers the last user message from the FAQ, with the earlier ones as its history."""
    provider = faq_provider(body.model, services.providers)
    question, history = question_of(body.messages, most=services.settings.conversation.history_turns)
    asked = Question(question, provider=provider, options=body.options(), history=history)
    begun = await ask(services, caller, asked)
    follow_ups = body.smartstore.follow_ups
    if follow_ups is None:
        follow_ups = services.settings.openai.follow_ups
    completion = Completion(begun.turn_id, body.model, int(time.time()), follow_ups)
    if not body.stream:
        return JSONResponse(await _whole(request, services, completion))
    usage = bool(body.stream_options and body.stream_options.include_usage)
    stream = _stream(services, completion, include_usage=usage)
    return EventStream(stream, at_end=partial(_leave, services, completion))


@router.post("/embeddings")
async def embeddings(body: EmbeddingRequest, services: ServicesDep, _caller: CallerDep) -> JSONResponse:
    """Embeds texts with the embedder that the index is searched with."""
    name, embedder = services.settings.embedder.name, services.engine.searcher.embedder
    if body.model not in (name, embedder.name):
        raise UnknownModel(body.model, [name])
    if body.dimensions not in (None, embedder.dim):
        raise InvalidRequest(f"dimensions: '{name}'의 벡터는 {embedder.dim}차원입니다.")
    texts = body.texts(services.settings.openai.max_embedding_inputs)
    embed = embedder.embed_passages if body.input_type == "passage" else embedder.embed_queries
    try:
        # One at a time: who embeds a corpus shall not take the cores from those who ask.
        async with _embedding:
            vectors = (await asyncio.to_thread(embed, texts)).dense.astype("<f4")
            tokens = await asyncio.to_thread(_count, services.engine.searcher.tokenizer, texts)
    except EmbedderError as exc:
        raise SearchUnavailable("임베딩을 지금 사용할 수 없습니다.", retry_after=3) from exc
    coded = body.encoding_format == "base64"
    data = [
        {
            "object": "embedding",
            "index": n,
            "embedding": base64.b64encode(v.tobytes()).decode() if coded else v.tolist(),
        }
        for n, v in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return JSONResponse({"object": "list", "data": data, "model": body.model, "usage": usage})


def _count(tokenizer: KoreanTokenizer, texts: list[str]) -> int:
    """Tokens as the search counts them, of what an embedder reads."""
    return sum(len(tokenizer.tokens(text[:_MOST_READ])) for text in texts)


def _names(services: Services, *, raw: bool) -> list[str]:
    return [*chat_models(services.providers, raw=raw), services.settings.embedder.name]


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": _STARTED, "owned_by": "smartstore-chatbot"}


async def _whole(request: Request, services: Services, completion: Completion) -> dict[str, Any]:
    """The completion once its turn has ended; a caller who leaves ends the turn."""

    async def collect() -> None:
        async with aclosing(services.follow(completion.turn_id)) as events:
            async for _, event in events:
                completion.add(event)

    async def disconnected() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    tasks = {asyncio.ensure_future(collect()), left := asyncio.ensure_future(disconnected())}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done - {left}:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.gather(*tasks, return_exceptions=True)
            await _leave(services, completion)
    if isinstance(completion.final, TurnFailed):
        raise TurnFault(completion.final)
    return completion.whole()


async def _stream(
    services: Services, completion: Completion, *, include_usage: bool
) -> AsyncGenerator[bytes]:
    """The completion in chunks."""
    fields = {"usage": None} if include_usage else {}
    try:
        yield completion.chunk({"role": "assistant", "content": ""}, **fields)
        async with aclosing(services.follow(completion.turn_id)) as events:
            async for _, event in events:
                if isinstance(event, ProviderSwitched) and completion.text:
                    # What was sent cannot be taken back, and two answers must not mix.
                    message = "답변이 중간에 끊겼습니다. 다시 시도해 주세요."
                    yield error_event(502, "provider_switched", message)
                    return
                if isinstance(event, TurnFailed):
                    completion.final = event
                    yield error_event(status_of(event.code), event.code, event.message)
                    return
                if text := completion.add(event):
                    yield completion.chunk({"content": text}, **fields)
        yield completion.last_chunk(**fields)
        if include_usage:
            yield completion.usage_chunk()
        yield DONE
    except ApiError as exc:
        yield error_event(exc.status, exc.code, exc.message)


async def _leave(services: Services, completion: Completion) -> None:
    """The caller reads no more: a turn that still runs is stopped, as nobody can follow it again."""
    if completion.final is None:
        await services.runner.stop(completion.turn_id)
