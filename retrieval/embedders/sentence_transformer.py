"""Any checkpoint of sentence-transformers: bge-m3 with its sparse head, KURE, Qwen3-Embedding and others.

Knows prompts, pooling and normalisation as far as the checkpoint's own files tell the library; knows no FAQ.
Needs the extra `st`; torch is imported when it is opened. Sparse head: Chen et al. 2024, arXiv:2402.03216.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from retrieval.embedders.base import Embeddings
from retrieval.errors import EmbedderError

_HEAD = "sparse_linear.pt"


class SentenceTransformer:
    """Dense embeddings, and sparse ones where the checkpoint has bge-m3's head; thread-safe, one at a time.

    Sparse is, per token id, the largest `relu(w·h + b)` over its positions, special tokens left out.

    Args:
        model: a folder, or the id of a model on the hub.
        device: where torch runs it.
        max_tokens: longer texts are cut, even where the model itself takes more.
        batch_size: texts per forward pass.

    Raises:
        EmbedderError: sentence-transformers is not installed, or the files are missing or do not fit.
    """

    def __init__(
        self, model: str, *, device: str = "cpu", max_tokens: int = 1024, batch_size: int = 16
    ) -> None:
        library, self._torch = import_sentence_transformers("this embedder")
        try:
            self._model = library.SentenceTransformer(model, device=device)
            self.dim = int(self._model.get_embedding_dimension())
            self._head = self._load_head(model)
        except (OSError, ValueError, RuntimeError, KeyError) as exc:
            raise EmbedderError(f"no embedder can be loaded from {model!r}: {exc}") from exc
        self._model.max_seq_length = min(max_tokens, self._model.max_seq_length or max_tokens)
        self.name = f"st:{Path(model).name}-{self.dim}-{self._model.max_seq_length}"
        self._batch_size = batch_size
        self._lock = threading.Lock()

    def embed_queries(self, texts: Sequence[str]) -> Embeddings:
        """Embeds questions, with the prompt that the checkpoint has for them."""
        return self._embed(self._model.encode_query, texts)

    def embed_passages(self, texts: Sequence[str]) -> Embeddings:
        """Embeds passages, with the prompt that the checkpoint has for them."""
        return self._embed(self._model.encode_document, texts)

    def _embed(self, encode: Any, texts: Sequence[str]) -> Embeddings:
        if not texts:
            return Embeddings(np.empty((0, self.dim), np.float32), None if self._head is None else ())
        options = {"batch_size": self._batch_size, "show_progress_bar": False, "normalize_embeddings": True}
        with self._lock, self._torch.inference_mode():
            if self._head is None:
                return Embeddings(np.asarray(encode(list(texts), **options), np.float32))
            rows = encode(list(texts), output_value=None, **options)
            dense = self._torch.stack([row["sentence_embedding"] for row in rows]).cpu().numpy()
            return Embeddings(dense.astype(np.float32), tuple(map(self._lexical, rows)))

    def _lexical(self, row: Any) -> dict[int, float]:
        """The learned weight of each token of one text."""
        weights = self._torch.relu(self._head(row["token_embeddings"].float())).squeeze(-1).tolist()
        special, found = set(self._model.tokenizer.all_special_ids), dict[int, float]()
        for id, weight in zip(row["input_ids"].tolist(), weights, strict=False):
            if weight > 0 and id not in special:
                found[id] = max(weight, found.get(id, 0.0))
        return found

    def _load_head(self, model: str) -> Any:
        """bge-m3's sparse head, None where the checkpoint has none."""
        from sentence_transformers.util import load_file_path

        if (path := load_file_path(model, _HEAD)) is None:
            return None
        weights = self._torch.load(path, map_location="cpu", weights_only=True)
        head = self._torch.nn.Linear(self.dim, 1)
        head.load_state_dict(weights)
        return head.to(self._model.device).eval()


def import_sentence_transformers(what: str) -> tuple[Any, Any]:
    """The modules sentence_transformers and torch; raises `EmbedderError` where they are not installed."""
    try:
        import sentence_transformers
        import torch
    except ImportError as exc:
        hint = "pip install 'smartstore-chatbot[st]'"
        raise EmbedderError(f"{what} needs sentence-transformers: {hint} ({exc})") from exc
    return sentence_transformers, torch
