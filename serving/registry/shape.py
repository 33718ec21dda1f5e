"""A model's sizes, read from its `config.json`: weights, cache and adapter memory.

Knows dense decoders of the Qwen3 and Llama kind, and encoders of the BERT kind; loads no weights.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving.errors import CannotServe


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes; counts are of elements, `positions` is the longest context in tokens."""

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
    def parameters(self) -> int:
        """All weights but the norms and biases (below a thousandth)."""
        layers = self.layers * sum(inputs * outputs for inputs, outputs in self.linear.values())
        return layers + self.vocabulary * self.hidden * (1 if self.tied else 2)

    def weight_bytes(self, element: float, *, embedding_element: float) -> float:
        """Bytes of the weights; embeddings are not quantised, so they have their own size."""
        embeddings = self.vocabulary * self.hidden * (1 if self.tied else 2)
        return (self.parameters - embeddings) * element + embeddings * embedding_element

    def cache_bytes_per_token(self, element: float) -> float:
        """Keys and values of one token in all layers."""
        return 2 * self.layers * self.kv_heads * self.head_dim * element

    def adapter_bytes(self, rank: int, element: float) -> float:
        """One adapter slot on every linear module."""
        return self.layers * rank * sum(sum(sizes) for sizes in self.linear.values()) * element


def read_shape(path: Path) -> Shape:
    """Reads a `config.json`, or the one in a model's folder.

    Raises:
        CannotServe: the file is missing or describes no model of a known kind.
    """
    file = path / "config.json" if path.is_dir() else path
    try:
        raw: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        hidden, heads = int(raw["hidden_size"]), int(raw["num_attention_heads"])
        encoder = "roberta" in str(raw.get("model_type")) or "bert" in str(raw.get("model_type"))
        return Shape(
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
        )
    except OSError as exc:
        raise CannotServe(f"{file}: cannot be read ({exc.strerror}); it describes the model") from exc
    except (ValueError, KeyError, TypeError) as exc:
        raise CannotServe(f"{file}: is no config.json of a known model ({exc!r})") from exc
