"""Embeddings from any server that speaks OpenAI's `/v1/embeddings`: OpenAI itself, vLLM, TEI, llama.cpp.

Knows the request and its batches; knows no FAQ. API:
https://platform.openai.com/docs/api-reference/embeddings/create
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from retrieval.embedders.base import Embeddings
from retrieval.embedders.model_server import ModelServer
from retrieval.errors import EmbedderError

_BATCH = 64


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
        self.name, self.dim, self._model = f"openai:{model}-{dim}", dim, model
        self._server = ModelServer(base_url, api_key=api_key, timeout_s=timeout_s, attempts=attempts)

    def embed_queries(self, texts: Sequence[str]) -> Embeddings:
        """Embeds questions."""
        return self._embed(texts)

    def embed_passages(self, texts: Sequence[str]) -> Embeddings:
        """Embeds passages."""
        return self._embed(texts)

    def close(self) -> None:
        """Closes the connections."""
        self._server.close()

    def _embed(self, texts: Sequence[str]) -> Embeddings:
        batches = [self._batch(list(texts[i : i + _BATCH])) for i in range(0, len(texts), _BATCH)]
        if not batches:
            return Embeddings(np.empty((0, self.dim), np.float32))
        dense = np.concatenate(batches)
        norms = np.linalg.norm(dense, axis=1, keepdims=True)
        if not np.isfinite(norms).all() or not norms.all():
            raise EmbedderError(f"{self.name}: a vector is zero or not finite")
        return Embeddings((dense / norms).astype(np.float32))

    def _batch(self, texts: list[str]) -> NDArray[np.float32]:
        # An empty string is refused by the API.
        body = {
            "model": self._model,
            "input": [text if text.strip() else "." for text in texts],
            "encoding_format": "float",
        }
        reply = self._server.post("/embeddings", body)
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
