"""A model's sizes, read from its `config.json`: parameters, weights, cache and adapter memory.

Knows dense decoders of the Qwen3 and Llama kind, those of Qwen3.5 and 3.6, of whose layers only every fourth
has attention, and encoders of the BERT kind; loads no weights.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving.registry.errors import ShapeError

_OF_ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")


@dataclass(frozen=True, slots=True)
class LinearAttention:
    """Sizes of a layer that keeps a state instead of a cache (Gated DeltaNet, Yang et al. 2024)."""

    key_heads: int
    key_dim: int
    value_heads: int
    value_dim: int
    kernel: int

    def linear_parameters(self, hidden: int) -> int:
        """Weights of its linear modules: in_proj_qkv, in_proj_z, in_proj_b, in_proj_a, out_proj."""
        values = self.value_heads * self.value_dim
        return hidden * (self._mixed + 2 * values + 2 * self.value_heads)

    @property
    def other_parameters(self) -> int:
        """Its convolution, its decays and its norm."""
        return self._mixed * self.kernel + 2 * self.value_heads + self.value_dim

    @property
    def _mixed(self) -> int:
        return 2 * self.key_heads * self.key_dim + self.value_heads * self.value_dim


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes; counts are of elements, `positions` is the longest context in tokens.

    Attributes:
        attention_every: each so-many-th layer has attention, the others have `linear_attention`.
        output_gate: the queries' module also makes a gate of the same size.
    """

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
    attention_every: int = 1
    linear_attention: LinearAttention | None = None
    output_gate: bool = False

    @property
    def linear(self) -> dict[str, tuple[int, int]]:
        """(inputs, outputs) of each linear module that an adapter may change."""
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        modules = {
            "q_proj": (self.hidden, queries * (2 if self.output_gate else 1)),
            "k_proj": (self.hidden, keys),
            "v_proj": (self.hidden, keys),
            "o_proj": (queries, self.hidden),
            "up_proj": (self.hidden, self.intermediate),
            "down_proj": (self.intermediate, self.hidden),
        }
        return modules | ({"gate_proj": (self.hidden, self.intermediate)} if self.gated else {})

    @property
    def attention_layers(self) -> int:
        """How many layers have attention and its cache."""
        return self.layers // self.attention_every

    def has(self, module: str, layer: int) -> bool:
        """Whether a layer (counted from 0) has a linear module that an adapter may change."""
        attends = (layer + 1) % self.attention_every == 0
        return module in self.linear and layer < self.layers and (attends or module not in _OF_ATTENTION)

    def layers_with(self, module: str) -> int:
        """How many layers have a linear module."""
        return self.attention_layers if module in _OF_ATTENTION else self.layers

    @property
    def linear_parameters(self) -> int:
        """Weights of the linear modules of all layers (what quantisation compresses)."""
        weights = sum(ins * outs * self.layers_with(name) for name, (ins, outs) in self.linear.items())
        if self.linear_attention is None:
            return weights
        others = self.layers - self.attention_layers
        return weights + others * self.linear_attention.linear_parameters(self.hidden)

    @property
    def embedding_parameters(self) -> int:
        """Input embedding and, where it is not the same, the head."""
        return self.vocabulary * self.hidden * (1 if self.tied else 2)

    @property
    def parameters(self) -> int:
        """All parameters of a decoder, as the loaded model counts them."""
        norms, of_attention = 2 * self.hidden, 2 * self.head_dim if self.qk_norm else 0
        keys = self.kv_heads * self.head_dim
        biases = self.heads * self.head_dim + 2 * keys + self.hidden if self.attention_bias else 0
        rest = self.layers * (norms + biases) + self.attention_layers * of_attention + self.hidden
        if self.linear_attention:
            rest += (self.layers - self.attention_layers) * self.linear_attention.other_parameters
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
        return rank * sum(sum(self.linear[name]) * self.layers_with(name) for name in targets)

    def weight_bytes(self, element: float, *, embedding_element: float) -> float:
        """Bytes of the weights; embeddings are not quantised, so they have their own size."""
        rest = self.parameters - self.embedding_parameters
        return rest * element + self.embedding_parameters * embedding_element

    def cache_bytes_per_token(self, element: float) -> float:
        """Keys and values of one token in all layers that have attention."""
        return 2 * self.attention_layers * self.kv_heads * self.head_dim * element

    def adapter_bytes(self, rank: int, element: float) -> float:
        """One adapter slot on every linear module."""
        return self.lora_parameters(rank, tuple(self.linear)) * element


def read_shape(path: Path) -> Shape:
    """Reads a `config.json`, or the one in a model's folder.

    Raises:
        ShapeError: the file is missing or describes no model of a known kind.
    """
    file = path / "config.json" if path.is_dir() else path
    try:
        whole: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        # A model that also sees keeps the decoder's sizes apart.
        raw: dict[str, Any] = whole.get("text_config") or whole
        hidden, heads = int(raw["hidden_size"]), int(raw["num_attention_heads"])
        architecture = str((whole.get("architectures") or [raw.get("model_type")])[0])
        encoder = "roberta" in str(raw.get("model_type")) or "bert" in str(raw.get("model_type"))
        hybrid = "linear_num_value_heads" in raw
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
            attention_every=int(raw.get("full_attention_interval", 4)) if hybrid else 1,
            linear_attention=_linear_attention(raw) if hybrid else None,
            output_gate=hybrid,
        )
    except OSError as exc:
        raise ShapeError(f"{file}: cannot be read ({exc.strerror}); it describes the model") from exc
    except (ValueError, KeyError, TypeError) as exc:
        raise ShapeError(f"{file}: is no config.json of a known model ({exc!r})") from exc


def _linear_attention(raw: dict[str, Any]) -> LinearAttention:
    return LinearAttention(
        key_heads=int(raw["linear_num_key_heads"]),
        key_dim=int(raw["linear_key_head_dim"]),
        value_heads=int(raw["linear_num_value_heads"]),
        value_dim=int(raw["linear_value_head_dim"]),
        kernel=int(raw["linear_conv_kernel_dim"]),
    )
