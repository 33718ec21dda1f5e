"""Embeddings from any server that speaks OpenAI's `/v1/embeddings`: OpenAI itself, vLLM, TEI, llama.cpp.

Knows the request, its batches and retries; knows no FAQ. API:
https://platform.openai.com/docs/api-reference/embeddings/create
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from retrieval.embedders.base import Embeddings
from retrieval.errors import EmbedderError

_BATCH = 64
_RETRIED = frozenset({408, 409, 429, 500, 502, 503, 504})
_LONGEST_WAIT_S = 20.0


class OpenAIEmbedder:
    """Dense vectors over HTTP; thread-safe. Questions and passages are embedded alike."""

    def __init__(
        self,
        base_url: str,
        *,
        model: str,
        dim: int,
        api_key: str = "",
        timeout_s: float = 30.0,
        attempts: int = 4,
    ) -> None:
        """Prepares the client; sends nothing yet.

        Args:
            base_url: up to and with `/v1`.
            model: what the server calls the model.
            dim: size of its vectors; another size in a reply is an error.
            api_key: sent as bearer token unless empty.
            timeout_s: bound on one request, in seconds.
            attempts: how often a request is tried before giving up, pauses doubling from 0.5 s.

        Raises:
            EmbedderError: no usable `base_url`.
        """
        if not base_url.startswith(("http://", "https://")):
            raise EmbedderError(f"embedder base_url {base_url!r} must begin with http:// or https://")
        self.name, self.dim = f"openai:{model}-{dim}", dim
        self._model, self._attempts = model, attempts
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._client = httpx.Client(base_url=base_url.rstrip("/"), headers=headers, timeout=timeout_s)

    def embed_queries(self, texts: Sequence[str]) -> Embeddings:
        """Embeds questions."""
        return self._embed(texts)

    def embed_passages(self, texts: Sequence[str]) -> Embeddings:
        """Embeds passages."""
        return self._embed(texts)

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def _embed(self, texts: Sequence[str]) -> Embeddings:
        batches = [self._batch(list(texts[i : i + _BATCH])) for i in range(0, len(texts), _BATCH)]
        if not batches:
            return Embeddings(np.empty((0, self.dim), np.float32))
        dense = np.concatenate(batches)
        norms = np.linalg.norm(dense, axis=1, keepdims=True)
        if not np.isfinite(norms).all() or not norms.all():
            raise EmbedderError(f"{self._client.base_url}: a vector is zero or not finite")
        return Embeddings((dense / norms).astype(np.float32))

    def _batch(self, texts: list[str]) -> NDArray[np.float32]:
        # An empty string is refused by the API.
        body = {
            "model": self._model,
            "input": [text if text.strip() else "." for text in texts],
            "encoding_format": "float",
        }
        reply = self._post(body)
        try:
            items = sorted(reply.json()["data"], key=lambda item: int(item["index"]))
            dense = np.array([item["embedding"] for item in items], np.float32)
        except (ValueError, KeyError, TypeError) as exc:
            raise EmbedderError(f"{reply.url}: not an embeddings reply: {reply.text[:200]}") from exc
        if dense.shape != (len(texts), self.dim):
            found = "x".join(map(str, dense.shape))
            reason = f"returned {found} numbers for {len(texts)} texts of {self.dim} dimensions"
            raise EmbedderError(f"{reply.url}: {self._model} {reason}; check the embedder's dim")
        return dense

    def _post(self, body: dict[str, Any]) -> httpx.Response:
        pause, fault, cause = 0.5, "", None
        for attempt in range(self._attempts):
            if attempt:
                time.sleep(pause)
                pause *= 2
            try:
                reply = self._client.post("/embeddings", json=body)
            except httpx.HTTPError as exc:
                fault, cause = f"{type(exc).__name__} {exc}", exc
                continue
            if reply.is_success:
                return reply
            fault, cause = f"HTTP {reply.status_code}: {reply.text[:200]}", None
            if reply.status_code not in _RETRIED:
                break
            pause = max(pause, _retry_after(reply))
        raise EmbedderError(f"{self._client.base_url}embeddings failed: {fault}") from cause


def _retry_after(reply: httpx.Response) -> float:
    try:
        return min(max(float(reply.headers.get("Retry-After", 0)), 0.0), _LONGEST_WAIT_S)
    except ValueError:
        return 0.0
