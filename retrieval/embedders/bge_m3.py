"""BGE-M3: dense vectors and learned lexical weights from one forward pass.

Knows the checkpoint's layout (an XLM-RoBERTa encoder plus `sparse_linear.pt`) and its pooling; knows no
FAQ. Paper: Chen et al. 2024, arXiv:2402.03216. Needs the extra `bge`; torch is imported when it is opened.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.embedders.base import Embeddings
from retrieval.errors import EmbedderError

_HEAD = "sparse_linear.pt"


class BgeM3:
    """Dense and sparse embeddings; thread-safe, one forward pass at a time.

    Dense is the L2-normalised first token. Sparse is, per token id, the largest
    `relu(w·h + b)` over its positions, special tokens left out.
    """

    def __init__(
        self,
        model: str = "BAAI/bge-m3",
        *,
        device: str = "cpu",
        max_tokens: int = 1024,
        batch_size: int = 16,
    ) -> None:
        """Loads the model.

        Args:
            model: a folder, or the id of a model on the hub.
            device: where torch runs it.
            max_tokens: longer texts are cut; the model itself takes up to 8192.
            batch_size: texts per forward pass.

        Raises:
            EmbedderError: torch is not installed, or the files are missing or do not fit.
        """
        torch, transformers = import_torch("bge-m3")
        self._torch, self._device = torch, device
        try:
            folder = model_folder(model)
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
            encoder = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32)
            self._encoder = encoder.to(device).eval()
            self._head = self._load_head(folder / _HEAD)
        except (OSError, ValueError, RuntimeError, KeyError) as exc:
            raise EmbedderError(f"bge-m3 cannot be loaded from {model!r}: {exc}") from exc
        config = self._encoder.config
        self.dim = int(config.hidden_size)
        # The position table holds two more entries than there are positions (padding offset).
        self._max_tokens = min(max_tokens, int(config.max_position_embeddings) - 2)
        self.name = f"bge-m3:{Path(model).name}-{self.dim}-{self._max_tokens}"
        self._batch_size = batch_size
        self._special = np.array(sorted(self._tokenizer.all_special_ids), np.int64)
        self._lock = threading.Lock()

    def embed_queries(self, texts: Sequence[str]) -> Embeddings:
        """Embeds questions; the model needs no prefix."""
        return self._embed(texts)

    def embed_passages(self, texts: Sequence[str]) -> Embeddings:
        """Embeds passages; the model needs no prefix."""
        return self._embed(texts)

    def _load_head(self, path: Path) -> Any:
        head = self._torch.nn.Linear(self._encoder.config.hidden_size, 1)
        head.load_state_dict(self._torch.load(path, map_location="cpu", weights_only=True))
        return head.to(self._device).eval()

    def _embed(self, texts: Sequence[str]) -> Embeddings:
        dense = np.empty((len(texts), self.dim), np.float32)
        sparse: list[dict[int, float]] = [{} for _ in texts]
        order = sorted(range(len(texts)), key=lambda n: len(texts[n]))
        for start in range(0, len(order), self._batch_size):
            chunk = order[start : start + self._batch_size]
            vectors, weights, ids = self._forward([texts[n] for n in chunk])
            dense[chunk] = vectors
            for n, row_weights, row_ids in zip(chunk, weights, ids, strict=True):
                sparse[n] = self._lexical(row_ids, row_weights)
        return Embeddings(dense, tuple(sparse))

    def _forward(
        self, texts: list[str]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
        torch = self._torch
        with self._lock, torch.inference_mode():
            batch = self._tokenizer(
                texts, padding=True, truncation=True, max_length=self._max_tokens, return_tensors="pt"
            ).to(self._device)
            hidden = self._encoder(**batch).last_hidden_state
            dense = torch.nn.functional.normalize(hidden[:, 0], dim=-1)
            weights = torch.relu(self._head(hidden)).squeeze(-1) * batch["attention_mask"]
            return dense.cpu().numpy(), weights.cpu().numpy(), batch["input_ids"].cpu().numpy()

    def _lexical(self, ids: NDArray[np.int64], weights: NDArray[np.float32]) -> dict[int, float]:
        kept = (weights > 0) & ~np.isin(ids, self._special)
        found: dict[int, float] = {}
        for id, weight in zip(ids[kept].tolist(), weights[kept].tolist(), strict=True):
            found[id] = max(weight, found.get(id, 0.0))
        return found


def import_torch(what: str) -> tuple[Any, Any]:
    """The modules torch and transformers; raises `EmbedderError` where they are not installed."""
    try:
        import torch
        import transformers
    except ImportError as exc:
        hint = "pip install 'smartstore-chatbot[bge]'"
        raise EmbedderError(f"{what} needs torch and transformers: {hint} ({exc})") from exc
    return torch, transformers


def model_folder(model: str) -> Path:
    """The model's folder; downloads it where `model` is a hub id."""
    if Path(model).is_dir():
        return Path(model)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        files = ["*.json", "*.model", "*.safetensors", "pytorch_model.bin", _HEAD]
        return Path(snapshot_download(model, allow_patterns=files))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError) as exc:
        raise OSError(f"no such folder, and the hub does not give it: {exc}") from exc
