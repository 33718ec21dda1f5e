"""`/v1/rerank` in the shape that Jina, Cohere, TEI and vLLM share, over the product's own ranker.

Follows https://jina.ai/reranker and https://docs.cohere.com/reference/rerank (version 2).
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import Field

from api.errors import InvalidRequest, SearchUnavailable
from api.turns.start import check_question
from api.web.openai.models import UnknownModel
from api.web.openai.requests import RequestFields
from api.web.routes.dependencies import CallerDep, ServicesDep
from retrieval.errors import EmbedderError
from retrieval.ranking.texts import rank_texts

MODEL = "faq-ranker"
router = APIRouter(prefix="/v1", tags=["OpenAI"])
_LONGEST = 20_000
_ranking = asyncio.Semaphore(1)


class RerankDocument(RequestFields):
    """A text to rank."""

    text: str


class RerankRequest(RequestFields):
    """Texts to order by how well they answer a question."""

    model: str = MODEL
    query: str
    documents: list[str | RerankDocument] = Field(min_length=1)
    top_n: int | None = Field(None, ge=1, description="how many to return; all by default")
    return_documents: bool | None = Field(None, description="tell each text again")

    def texts(self, most: int) -> list[str]:
        """The texts. Raises `InvalidRequest` for blanks, over-long ones, or more than `most`."""
        texts = [each if isinstance(each, str) else each.text for each in self.documents]
        if len(texts) > most:
            raise InvalidRequest(f"documents: {most}개까지 보낼 수 있습니다.")
        if not all(text.strip() for text in texts):
            raise InvalidRequest("documents: 빈 글은 순위를 매길 수 없습니다.")
        if any(len(text) > _LONGEST for text in texts):
            raise InvalidRequest(f"documents: 글은 {_LONGEST:,}자까지 보낼 수 있습니다.")
        return texts


@router.post("/rerank")
async def rerank(body: RerankRequest, services: ServicesDep, _caller: CallerDep) -> JSONResponse:
    """Orders texts by the probability that they answer the query, as the search orders FAQs."""
    if body.model != MODEL:
        raise UnknownModel(body.model, [MODEL])
    query = check_question(body.query, max_chars=services.settings.server.max_question_chars)
    texts = body.texts(services.settings.openai.max_embedding_inputs)
    searcher = services.engine.searcher
    try:
        # One at a time, as for embeddings: who ranks a corpus shall not take the cores from those who ask.
        async with _ranking:
            ranked = await asyncio.to_thread(rank_texts, searcher, query, texts)
    except EmbedderError as exc:
        raise SearchUnavailable("순위를 지금 매길 수 없습니다.", retry_after=3) from exc
    results = [_result(n, score, texts[n], body) for n, score in ranked[: body.top_n]]
    tokens = len(query) + sum(map(len, texts))
    usage = {"total_tokens": -(-tokens // 2)}
    return JSONResponse(
        {"id": f"rerank-{secrets.token_hex(8)}", "model": MODEL, "results": results, "usage": usage}
    )


def _result(n: int, score: float, text: str, body: RerankRequest) -> dict[str, Any]:
    shown = {"document": {"text": text}} if body.return_documents else {}
    return {"index": n, "relevance_score": round(score, 6), **shown}
