"""Estimates the memory a training run needs from the model's shape, before any weights are loaded.

    python -m finetune.preflight --config configs/finetune/qwen3-32b-lora-h200.yaml

Knows the configuration and the shape; loads neither torch nor weights. The estimate counts weights,
adapter, gradients, optimizer states, stored and recomputed activations and the head's logits; it is an
upper estimate for PyTorch with SDPA attention and trl's tiled loss.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from finetune.config import Config, load_config
from finetune.errors import FAULTS, CannotFit, FinetuneError
from serving.registry.shape import Shape, read_shape

_NF4_BYTES = 0.516  # 4 bits and doubly quantised constants, arXiv:2305.14314
_LOGITS_TILE = 4096 * 32768  # trl computes the head in tiles of so many tokens and words
_USABLE = 0.95
_CONTEXT = {"cuda": 1.5e9, "cpu": 0.5e9}
_SLACK = 1.05


@dataclass(frozen=True)
class Estimate:
    """Bytes on each device.

    Attributes:
        parts: bytes by what they are for.
        parameters, trainable: element counts of the whole base model and of the adapter.
        available: bytes that can be used.
    """

    parts: dict[str, float]
    parameters: int
    trainable: int
    available: float

    @property
    def needed(self) -> float:
        """Bytes needed on each device."""
        return sum(self.parts.values())

    def table(self) -> str:
        """The estimate for reading, one part a line, in 10^9 bytes."""
        lines = [f"{self.parameters / 1e9:.2f} B parameters, {self.trainable / 1e6:.1f} M of them trained"]
        lines += [f"  {name:<28}{size / 1e9:>9.2f} GB" for name, size in self.parts.items()]
        lines.append(f"  {'needed on each device':<28}{self.needed / 1e9:>9.2f} GB")
        lines.append(f"  {'can be used':<28}{self.available / 1e9:>9.2f} GB")
        return "\n".join(lines)


def estimate(config: Config, shape: Shape, *, memory: float | None = None) -> Estimate:
    """Estimates one device's memory.

    Args:
        config: the run.
        shape: the base model's.
        memory: bytes a device really has, where that is known; the smaller of it and the
            configuration's counts.

    Raises:
        ShapeError: `lora.targets` names modules that the model does not have.
    """
    trainable = shape.lora_parameters(config.lora.rank, config.lora.targets)
    shards = config.hardware.devices if config.hardware.fsdp else 1
    element = 2.0 if config.model.dtype == "bfloat16" else 4.0
    # DPO reads the better and the worse answer of a row at once.
    pairs = config.preference is not None and config.preference.method == "dpo"
    tokens = config.training.batch * config.training.max_length * (2 if pairs else 1)
    parts = {
        "base weights": _weights(config, shape, element) / shards,
        "adapter, gradients, optimizer": trainable * _per_trained(config) / shards,
        "activations": _activations(config, shape, tokens, element),
        "logits": float(min(tokens * shape.vocabulary, _LOGITS_TILE) * (element + 4)),
        "context and fragments": _CONTEXT[config.hardware.device],
    }
    if config.preference:
        parts["adapter to start from"] = trainable * 4.0
    if shards > 1:
        layer = shape.linear_parameters / shape.layers
        parts["gathered layers"] = (2 * layer + shape.embedding_parameters) * element
    elif config.model.load_in_4bit:
        parts["a weight dequantised"] = max(i * o for i, o in shape.linear.values()) * element
    parts["context and fragments"] += (_SLACK - 1) * sum(parts.values())
    named = config.hardware.memory_gb * 1e9
    available = _USABLE * (named if memory is None else min(named, memory))
    return Estimate(parts, shape.parameters, trainable, available)


def _weights(config: Config, shape: Shape, element: float) -> float:
    if not config.model.load_in_4bit:
        return shape.parameters * element
    rest = shape.parameters - shape.linear_parameters
    return shape.linear_parameters * _NF4_BYTES + rest * element


def _per_trained(config: Config) -> float:
    """Bytes for one trained parameter: itself, its gradient, Adam's two moments."""
    own = 2.0 if config.model.load_in_4bit else 4.0  # trl keeps QLoRA adapters in bf16, others in fp32
    return 2 * own + (2.0 if config.training.optimizer == "paged_adamw_8bit" else 2 * own)


def _activations(config: Config, shape: Shape, tokens: int, element: float) -> float:
    queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    layer = element * (8 * shape.hidden + 5 * queries + 6 * keys + 5 * shape.intermediate)
    # peft computes the adapter in fp32: a copy of each target's input and its output.
    layer += 4 * sum(sum(shape.linear[name]) for name in config.lora.targets)
    attention = float(tokens * tokens) * (shape.heads * 8 if config.model.attention == "eager" else 1)
    if config.training.gradient_checkpointing:
        return tokens * (layer + shape.layers * shape.hidden * element) + attention
    return shape.layers * (tokens * layer + attention)


def resolve_shape(config: Config) -> Shape:
    """The base model's shape: of its folder, or of the file that stands for a hub id.

    Raises:
        FinetuneError: there is neither.
    """
    base = Path(config.model.base)
    if base.is_dir():
        return read_shape(base)
    if config.model.shape is not None:
        return read_shape(config.model.shape)
    raise FinetuneError(
        f"model.base {config.model.base!r} is no folder; give its config.json as model.shape, "
        "so that memory can be judged before the weights are loaded"
    )


def check(config: Config, *, memory: float | None = None) -> Estimate:
    """Estimates and refuses what cannot fit.

    Raises:
        CannotFit: with the advice that would help most.
        FinetuneError: the shape is unknown, does not match the adapter, or cannot be trained packed.
    """
    shape = resolve_shape(config)
    if shape.linear_attention and config.training.packing:
        raise FinetuneError(
            f"{shape.architecture} keeps a state through a row: packed examples would see each other; set "
            "training.packing: false"
        )
    found = estimate(config, shape, memory=memory)
    if found.needed > found.available:
        raise CannotFit(found.needed, found.available, _advice(config, found))
    return found


def _advice(config: Config, found: Estimate) -> str:
    if found.parts["base weights"] > 0.6 * found.available:
        if config.hardware.fsdp:
            return "shard over more devices (hardware.devices)"
        return "set model.load_in_4bit: true, or shard over several devices with hardware.fsdp"
    if not config.training.gradient_checkpointing:
        return "set training.gradient_checkpointing: true"
    if config.training.batch > 1:
        return "lower training.batch and raise training.accumulation"
    return "lower training.max_length or lora.rank"


def main(argv: list[str] | None = None) -> int:
    """Prints the estimate; returns 1 where the run cannot fit or the configuration is faulty."""
    parser = argparse.ArgumentParser(prog="python -m finetune.preflight", description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    arguments = parser.parse_args(argv)
    try:
        config = load_config(arguments.config)
        print(estimate(config, resolve_shape(config)).table())
        check(config)
    except FAULTS as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
