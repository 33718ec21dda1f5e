"""OpenAI's API over `faq` models and the embedder. Raw models never get here (`gateway`)."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from api.errors import ApiError, InvalidRequest, SearchUnavailable
from api.events import ProviderSwitched, TurnFailed
from api.services import Services
from api.turns.start import Question, ask
from api.web.openai.completions import DONE, Completion
from api.web.openai.dialogue import question_of
from api.web.openai.errors import error_event
from api.web.openai.following import (
    chosen_provider,
    collect,
    end,
    faqs_url,
    rate_by_metadata,
    turn_id_of,
    wants_follow_ups,
)
from api.web.openai.models import UnknownModel, chat_models
from api.web.openai.reply import status_of
from api.web.openai.requests import ChatCompletionRequest, CompletionUpdate, EmbeddingRequest
from api.web.openai.rerank import MODEL as RANKER
from api.web.routes.dependencies import CallerDep, ServicesDep
from api.web.streaming import EventStream
from retrieval.errors import EmbedderError
from retrieval.tokenizer import KoreanTokenizer

router = APIRouter(prefix="/v1", tags=["OpenAI"])
_STARTED = int(time.time())
# No embedder here reads more of a text than about that much; the rest would be counted for nothing.
_MOST_READ = 4000
_embedding = asyncio.Semaphore(1)


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
    provider = chosen_provider(body.model, services)
    body.check()
    await rate_by_metadata(body.metadata, services, caller)
    question, history = question_of(body.messages, most=services.settings.conversation.history_turns)
    asked = Question(question, provider=provider, options=body.options(), history=history, channel="openai")
    begun = await ask(services, caller, asked)
    follow_ups = wants_follow_ups(body.smartstore, services)
    completion = Completion(
        begun.turn_id, body.model, int(time.time()), follow_ups, faqs_url(request, services)
    )
    completion.key = caller.key
    if not body.stream:
        await collect(request, services, completion)
        return JSONResponse(completion.whole())
    usage = bool(body.stream_options and body.stream_options.include_usage)
    stream = _stream(services, completion, include_usage=usage)
    return EventStream(stream, at_end=partial(end, services, completion))


@router.post("/chat/completions/{completion_id}")
async def update_completion(
    completion_id: str, body: CompletionUpdate, request: Request, services: ServicesDep, caller: CallerDep
) -> JSONResponse:
    """Rates a completion by its metadata, as OpenAI's SDKs update one; returns it with them."""
    if not await rate_by_metadata(body.metadata, services, caller, of=completion_id):
        raise InvalidRequest("metadata: smartstore_rating에 up이나 down을 보내 주세요.")
    turn_id = turn_id_of(completion_id)
    completion = Completion(turn_id, "faq", int(time.time()), False, faqs_url(request, services))
    await collect(request, services, completion)
    return JSONResponse(completion.whole() | {"metadata": body.metadata})


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
    return [*chat_models(services.providers, raw=raw), services.settings.embedder.name, RANKER]


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": _STARTED, "owned_by": "smartstore-chatbot"}


async def _stream(
    services: Services, completion: Completion, *, include_usage: bool
) -> AsyncGenerator[bytes]:
    """The completion in chunks."""
    fields = {"usage": None} if include_usage else {}
    try:
        yield completion.chunk({"role": "assistant", "content": ""}, **fields)
        async with aclosing(services.follow(completion.turn_id, key=completion.key)) as events:
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
                    yield completion.text_chunk(text, **fields)
        yield completion.last_chunk(**fields)
        if include_usage:
            yield completion.usage_chunk()
        yield DONE
    except ApiError as exc:
        yield error_event(exc.status, exc.code, exc.message)
