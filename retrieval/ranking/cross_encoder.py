"""A cross-encoder by sentence-transformers: any checkpoint of sequence classification with one label.

Needs the extra `st`; torch is imported when it is opened. Models: bge-reranker-v2-m3 (Chen et al. 2024,
arXiv:2402.03216), KURE-Reranker-nano and their like.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from retrieval.embedders.sentence_transformer import import_sentence_transformers
from retrieval.errors import EmbedderError


class CrossEncoder:
    """Reads question and text in one forward pass; thread-safe, one at a time.

    Args:
        model: a folder, or the id of a model on the hub.
        device: where torch runs it.
        depth: how many hits are read; those behind keep their order.
        max_tokens: of question and text together; longer texts are cut.

    Raises:
        EmbedderError: sentence-transformers is not installed, or the files are missing or do not fit.
    """

    def __init__(
        self,
        model: str = "BAAI/bge-reranker-v2-m3",
        *,
        device: str = "cpu",
        depth: int = 10,
        max_tokens: int = 512,
    ) -> None:
        self.name, self.depth = model, depth
        library, torch = import_sentence_transformers("the reranker")
        try:
            self._model = library.CrossEncoder(model, device=device)
        except (OSError, ValueError, RuntimeError) as exc:
            raise EmbedderError(f"the reranker cannot be loaded from {model!r}: {exc}") from exc
        if self._model.num_labels != 1:
            raise EmbedderError(f"{model!r} has {self._model.num_labels} labels; a reranker has one")
        self._model.max_seq_length = min(max_tokens, self._model.max_seq_length or max_tokens)
        self._sigmoid = torch.nn.Sigmoid()
        self._lock = threading.Lock()

    def probabilities(self, question: str, texts: Sequence[str]) -> list[float]:
        """How likely each text answers the question."""
        pairs = [(question, text) for text in texts]
        with self._lock:
            # Some checkpoints bring no activation: scores of another range could not be averaged.
            scores = self._model.predict(pairs, activation_fn=self._sigmoid, show_progress_bar=False)
        return [float(score) for score in scores]
