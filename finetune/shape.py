"""A model's shape, read from its `config.json`: how many parameters it and an adapter for it have.

Knows the layout of dense decoder models of the Qwen3 and Llama kind; loads no weights.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune.errors import BaseMismatch, FinetuneError


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Sizes of a dense decoder; all counts are of elements."""

    architecture: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int
    tied: bool
    qk_norm: bool
    attention_bias: bool

    @property
    def linear(self) -> dict[str, tuple[int, int]]:
        """(inputs, outputs) of each linear module of one layer."""
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        return {
            "q_proj": (self.hidden, queries),
            "k_proj": (self.hidden, keys),
            "v_proj": (self.hidden, keys),
            "o_proj": (queries, self.hidden),
            "gate_proj": (self.hidden, self.intermediate),
            "up_proj": (self.hidden, self.intermediate),
            "down_proj": (self.intermediate, self.hidden),
        }

    @property
    def linear_parameters(self) -> int:
        """Weights of the linear modules of all layers (what 4-bit loading compresses)."""
        return self.layers * sum(inputs * outputs for inputs, outputs in self.linear.values())

    @property
    def embedding_parameters(self) -> int:
        """Input embedding and, where it is not the same, the head."""
        return self.vocabulary * self.hidden * (1 if self.tied else 2)

    @property
    def parameters(self) -> int:
        """All parameters, as the loaded model counts them."""
        norms = 2 * self.hidden + (2 * self.head_dim if self.qk_norm else 0)
        keys = self.kv_heads * self.head_dim
        biases = self.heads * self.head_dim + 2 * keys + self.hidden if self.attention_bias else 0
        rest = self.layers * (norms + biases) + self.hidden
        return self.linear_parameters + self.embedding_parameters + rest

    def lora_parameters(self, rank: int, targets: tuple[str, ...]) -> int:
        """Parameters of an adapter of `rank` on the `targets` of every layer.

        Raises:
            BaseMismatch: a target that the model does not have.
        """
        unknown = [name for name in targets if name not in self.linear]
        if unknown or not targets:
            raise BaseMismatch(
                f"lora.targets names {', '.join(unknown) or 'nothing'}, which {self.architecture} does not "
                f"have; valid: {', '.join(self.linear)}"
            )
        return self.layers * rank * sum(sum(self.linear[name]) for name in targets)


def read_shape(path: Path) -> ModelShape:
    """Reads a `config.json`, or the one in a model's folder.

    Raises:
        FinetuneError: the file is missing or describes no dense decoder.
    """
    file = path / "config.json" if path.is_dir() else path
    try:
        raw: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        hidden, heads = int(raw["hidden_size"]), int(raw["num_attention_heads"])
        architecture = str((raw.get("architectures") or [raw["model_type"]])[0])
        return ModelShape(
            architecture=architecture,
            hidden=hidden,
            layers=int(raw["num_hidden_layers"]),
            heads=heads,
            kv_heads=int(raw.get("num_key_value_heads") or heads),
            head_dim=int(raw.get("head_dim") or hidden // heads),
            intermediate=int(raw["intermediate_size"]),
            vocabulary=int(raw["vocab_size"]),
            tied=bool(raw.get("tie_word_embeddings", False)),
            qk_norm=architecture.startswith("Qwen3"),
            attention_bias=bool(raw.get("attention_bias", False)),
        )
    except OSError as exc:
        raise FinetuneError(f"{file}: cannot be read ({exc.strerror}); it describes the base model") from exc
    except (ValueError, KeyError, TypeError) as exc:
        raise FinetuneError(f"{file}: is no config.json of a dense decoder model ({exc!r})") from exc
