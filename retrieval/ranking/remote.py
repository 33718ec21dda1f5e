"""A reranker behind HTTP: `/rerank` as vLLM, Jina, Cohere and this product speak it, or as TEI does.

Knows both shapes of the request and its reply; knows no FAQ. APIs: https://docs.cohere.com/reference/rerank,
https://huggingface.github.io/text-embeddings-inference/
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from retrieval.embedders.model_server import ModelServer
from retrieval.errors import EmbedderError


class RemoteReranker:
    """Asks a server; thread-safe.

    Args:
        base_url: up to and with the version: `http://host:8000/v1`, `https://api.cohere.com/v2`; of TEI
            its root.
        model: what the server calls the model; TEI serves one and is told none.
        api_key: sent as bearer token unless empty.
        texts_as: the request's field that holds the texts: `texts` for TEI, `documents` for all others.
        depth: how many hits are read; those behind keep their order.
        timeout_s: bound on one request, in seconds.
        attempts: how often a request is tried before giving up: a seller waits for it.

    Raises:
        EmbedderError: no usable `base_url`.
    """

    def __init__(
        self,
        base_url: str,
        *,
        model: str = "",
        api_key: str = "",
        texts_as: Literal["documents", "texts"] = "documents",
        depth: int = 10,
        timeout_s: float = 10.0,
        attempts: int = 2,
    ) -> None:
        self.name, self.depth = f"remote:{model or base_url}", depth
        self._model, self._texts_as = model, texts_as
        self._server = ModelServer(base_url, api_key=api_key, timeout_s=timeout_s, attempts=attempts)

    def probabilities(self, question: str, texts: Sequence[str]) -> list[float]:
        """How likely each text answers the question."""
        if not texts:
            return []
        body: dict[str, Any] = {"query": question, self._texts_as: list(texts)}
        if self._model:
            body["model"] = self._model
        if self._texts_as == "texts":
            body["truncate"] = True  # TEI refuses a text that is too long unless it is told to cut it
        reply = self._server.post("/rerank", body)
        try:
            told = reply.json()
            scores = {
                int(one["index"]): float(one.get("relevance_score", one.get("score")))
                for one in (told["results"] if isinstance(told, dict) else told)
            }
            found = [scores[n] for n in range(len(texts))]
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise EmbedderError(f"{reply.url}: not a reranker's reply: {reply.text[:200]}") from exc
        if not all(0.0 <= score <= 1.0 for score in found):
            # Raw scores cannot be averaged with a probability, and would decide alone.
            raise EmbedderError(f"{reply.url}: scores beyond 0 and 1; let the server normalise them")
        return found

    def close(self) -> None:
        """Closes the connections."""
        self._server.close()
