"""A model's sizes, read from its `config.json`: parameters, weights, cache and adapter memory.

Knows dense decoders of the Qwen3 and Llama kind, and encoders of the BERT kind; loads no weights.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving.registry.errors import ShapeError


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes; counts are of elements, `positions` is the longest context in tokens."""

    architecture: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int
    tied: bool
    gated: bool
    positions: int
    qk_norm: bool = False
    attention_bias: bool = False

    @property
    def linear(self) -> dict[str, tuple[int, int]]:
        """(inputs, outputs) of each linear module of one layer that an adapter may change."""
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        modules = {
            "q_proj": (self.hidden, queries),
            "k_proj": (self.hidden, keys),
            "v_proj": (self.hidden, keys),
            "o_proj": (queries, self.hidden),
            "up_proj": (self.hidden, self.intermediate),
            "down_proj": (self.intermediate, self.hidden),
        }
        return modules | ({"gate_proj": (self.hidden, self.intermediate)} if self.gated else {})

    @property
    def linear_parameters(self) -> int:
        """Weights of the linear modules of all layers (what quantisation compresses)."""
        return self.layers * sum(inputs * outputs for inputs, outputs in self.linear.values())

    @property
    def embedding_parameters(self) -> int:
        """Input embedding and, where it is not the same, the head."""
        return self.vocabulary * self.hidden * (1 if self.tied else 2)

    @property
    def parameters(self) -> int:
        """All parameters of a decoder, as the loaded model counts them."""
        norms = 2 * self.hidden + (2 * self.head_dim if self.qk_norm else 0)
        keys = self.kv_heads * self.head_dim
        biases = self.heads * self.head_dim + 2 * keys + self.hidden if self.attention_bias else 0
        rest = self.layers * (norms + biases) + self.hidden
        return self.linear_parameters + self.embedding_parameters + rest

    def lora_parameters(self, rank: int, targets: tuple[str, ...]) -> int:
        """Parameters of an adapter of `rank` on the `targets` of every layer.

        Raises:
            ShapeError: a target that the model does not have.
        """
        unknown = [name for name in targets if name not in self.linear]
        if unknown or not targets:
            raise ShapeError(
                f"lora.targets names {', '.join(unknown) or 'nothing'}, which {self.architecture} does not "
                f"have; valid: {', '.join(self.linear)}"
            )
        return self.layers * rank * sum(sum(self.linear[name]) for name in targets)

    def weight_bytes(self, element: float, *, embedding_element: float) -> float:
        """Bytes of the weights; embeddings are not quantised, so they have their own size."""
        rest = self.parameters - self.embedding_parameters
        return rest * element + self.embedding_parameters * embedding_element

    def cache_bytes_per_token(self, element: float) -> float:
        """Keys and values of one token in all layers."""
        return 2 * self.layers * self.kv_heads * self.head_dim * element

    def adapter_bytes(self, rank: int, element: float) -> float:
        """One adapter slot on every linear module."""
        return self.layers * rank * sum(sum(sizes) for sizes in self.linear.values()) * element


def read_shape(path: Path) -> Shape:
    """Reads a `config.json`, or the one in a model's folder.

    Raises:
        ShapeError: the file is missing or describes no model of a known kind.
    """
    file = path / "config.json" if path.is_dir() else path
    try:
        raw: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        hidden, heads = int(raw["hidden_size"]), int(raw["num_attention_heads"])
        architecture = str((raw.get("architectures") or [raw.get("model_type")])[0])
        encoder = "roberta" in str(raw.get("model_type")) or "bert" in str(raw.get("model_type"))
        return Shape(
            architecture=architecture,
            hidden=hidden,
            layers=int(raw["num_hidden_layers"]),
            heads=heads,
            kv_heads=int(raw.get("num_key_value_heads") or heads),
            head_dim=int(raw.get("head_dim") or hidden // heads),
            intermediate=int(raw["intermediate_size"]),
            vocabulary=int(raw["vocab_size"]),
            tied=encoder or bool(raw.get("tie_word_embeddings", False)),
            gated=not encoder,
            positions=int(raw["max_position_embeddings"]),
            qk_norm=architecture.startswith("Qwen3"),
            attention_bias=bool(raw.get("attention_bias", False)),
        )
    except OSError as exc:
        raise ShapeError(f"{file}: cannot be read ({exc.strerror}); it describes the model") from exc
    except (ValueError, KeyError, TypeError) as exc:
        raise ShapeError(f"{file}: is no config.json of a known model ({exc!r})") from exc
