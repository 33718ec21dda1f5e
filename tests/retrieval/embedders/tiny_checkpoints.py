"""Saves tiny random checkpoints: BGE-M3 with and without its head, an embedder with prompts, a reranker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

TEXTS = (
    "정산은 언제 되나요?",
    "반품 배송비는 누가 내나요?",
    "미성년자도 가입할 수 있나요?",
    "refund 2,500원",
)


def save_tiny_bge(folder: Path, *, head: bool = True, prompts: dict[str, str] | None = None) -> Path:
    """Writes encoder, tokenizer and sparse head of 32 dimensions, pooled as BGE-M3; returns the folder.

    Needs sentence-transformers.
    """
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Normalize, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling
    from transformers import XLMRobertaModel

    torch.manual_seed(7)
    encoder = folder / "encoder"
    XLMRobertaModel(_config(_save_tokenizer(encoder))).save_pretrained(encoder)
    modules = [Transformer(str(encoder)), Pooling(32, pooling_mode="cls"), Normalize()]
    SentenceTransformer(modules=modules, prompts=prompts).save(str(folder))
    if head:
        torch.save(torch.nn.Linear(32, 1).state_dict(), folder / "sparse_linear.pt")
    return folder


def save_tiny_reranker(folder: Path, *, labels: int = 1) -> Path:
    """Writes a cross-encoder of the same size, as bge-reranker-v2-m3 is; returns the folder. Needs torch."""
    import torch
    from transformers import XLMRobertaForSequenceClassification

    torch.manual_seed(7)
    config = _config(_save_tokenizer(folder), num_labels=labels)
    XLMRobertaForSequenceClassification(config).save_pretrained(folder)
    return folder


def _save_tokenizer(folder: Path) -> int:
    """Writes the tokenizer; returns the size of its vocabulary."""
    from transformers import XLMRobertaTokenizer

    letters = sorted(set("".join(TEXTS)) - {" "})
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁", *letters, "▁정산", "▁반품", "배송비", "<mask>"]
    vocabulary = [(piece, 0.0 if n < 4 else -float(20 - 5 * len(piece))) for n, piece in enumerate(pieces)]
    XLMRobertaTokenizer(vocab=vocabulary, model_max_length=64).save_pretrained(folder)
    return len(pieces)


def _config(vocabulary: int, **more: Any) -> Any:
    from transformers import XLMRobertaConfig

    return XLMRobertaConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=66,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        type_vocab_size=1,
        initializer_range=0.5,
        **more,
    )
