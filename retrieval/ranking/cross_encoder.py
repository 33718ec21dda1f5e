"""A cross-encoder that reads a question and a FAQ together and reorders what was found.

Knows a checkpoint of one-label sequence classification (bge-reranker-v2-m3); knows no index and no ranker.
Needs the extra `bge`; torch is imported when it is opened. Model: Chen et al. 2024, arXiv:2402.03216.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

from retrieval.embedders.bge_m3 import import_torch, model_folder
from retrieval.errors import EmbedderError
from retrieval.ranking.ranker import Hit


class CrossEncoder:
    """Reorders the first hits of a search; thread-safe, one forward pass at a time.

    A hit's score becomes the mean of the ranker's probability and the cross-encoder's: the one knows the
    expansions, the other reads the text.
    """

    def __init__(
        self,
        model: str = "BAAI/bge-reranker-v2-m3",
        *,
        device: str = "cpu",
        depth: int = 10,
        max_tokens: int = 512,
    ) -> None:
        """Loads the model.

        Args:
            model: a folder, or the id of a model on the hub.
            device: where torch runs it.
            depth: how many hits are read; those behind keep their order.
            max_tokens: of question and FAQ together; longer FAQs are cut.

        Raises:
            EmbedderError: torch is not installed, or the files are missing or do not fit.
        """
        self.name = model
        torch, transformers = import_torch("the reranker")
        self._torch, self._device, self._depth = torch, device, depth
        try:
            folder = model_folder(model)
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
            classifier = transformers.AutoModelForSequenceClassification
            loaded = classifier.from_pretrained(folder, dtype=torch.float32)
        except (OSError, ValueError, RuntimeError) as exc:
            raise EmbedderError(f"the reranker cannot be loaded from {model!r}: {exc}") from exc
        if loaded.config.num_labels != 1:
            raise EmbedderError(f"{model!r} has {loaded.config.num_labels} labels; a reranker has one")
        self._model = loaded.to(device).eval()
        self._max_tokens = min(max_tokens, int(loaded.config.max_position_embeddings) - 2)
        self._lock = threading.Lock()

    def rerank(self, question: str, hits: Sequence[Hit]) -> list[Hit]:
        """Returns the hits with the first `depth` in their new order."""
        read, rest = list(hits[: self._depth]), list(hits[self._depth :])
        if len(read) < 2:
            return [*read, *rest]
        likely = self._probabilities(question, [f"{hit.faq.question}\n{hit.faq.answer}" for hit in read])
        scored = [replace(hit, score=(hit.score + p) / 2) for hit, p in zip(read, likely, strict=True)]
        return [*sorted(scored, key=lambda hit: (-hit.score, hit.faq.id)), *rest]

    def _probabilities(self, question: str, texts: list[str]) -> list[float]:
        torch = self._torch
        with self._lock, torch.inference_mode():
            batch = self._tokenizer(
                [question] * len(texts),
                texts,
                padding=True,
                truncation="only_second",
                max_length=self._max_tokens,
                return_tensors="pt",
            ).to(self._device)
            found: list[float] = torch.sigmoid(self._model(**batch).logits[:, 0]).tolist()
        return found
