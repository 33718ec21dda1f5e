"""Turns a configuration into the vLLM command: context sized from memory, rank from the adapters.

Knows vLLM's options; starts nothing and asks no hardware.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from serving.errors import CannotServe
from serving.launch.config import Config
from serving.registry.shape import Shape, read_shape

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # what vLLM accepts as --max-lora-rank
_BYTES = {"auto": 2.0, "bfloat16": 2.0, "float16": 2.0, "float32": 4.0}
_RESERVE = {"cuda": 4e9, "cpu": 0.5e9}  # activations, graphs, the process itself
_BLOCK = 16


@dataclass(frozen=True)
class Plan:
    """What will be started.

    Attributes:
        arguments: the whole command.
        environment: variables to add to the launcher's.
        parts: bytes on each device by what they are for.
        budget: bytes a device may use.
        context: longest prompt and answer, in tokens.
        cache_tokens: what the cache holds in all, in tokens.
        rank: of the adapters that can be loaded; 0 without adapters.
    """

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    parts: Mapping[str, float]
    budget: float
    context: int
    cache_tokens: int
    rank: int = 0
    modules: Mapping[str, Path] = field(default_factory=dict)

    def table(self) -> str:
        """Memory and context for reading, in 10^9 bytes."""
        lines = [f"  {name:<28}{size / 1e9:>9.2f} GB" for name, size in self.parts.items()]
        lines.append(f"  {'may be used':<28}{self.budget / 1e9:>9.2f} GB")
        if self.cache_tokens:
            full = self.cache_tokens / self.context
            lines.append(
                f"  context {self.context} tokens, cache {self.cache_tokens} ({full:.1f} of full length)"
            )
        if self.rank:
            lines.append(
                f"  adapters up to rank {self.rank}, loaded at start: {', '.join(self.modules) or 'none'}"
            )
        return "\n".join(lines)


def resolve_shape(config: Config) -> Shape:
    """The model's shape: of its folder, or of the file that stands for a hub id.

    Raises:
        CannotServe: there is neither.
    """
    path = Path(config.model.path)
    if path.is_dir():
        return read_shape(path)
    if config.model.shape is not None:
        return read_shape(config.model.shape)
    raise CannotServe(
        f"model.path {config.model.path!r} is no folder; build or download it first, or, for a hub id, "
        "give its config.json as model.shape, so that memory can be judged before anything is downloaded"
    )


def plan(config: Config, shape: Shape, *, modules: Mapping[str, Path] | None = None, rank: int = 0) -> Plan:
    """Sizes the server and writes its command.

    Args:
        config: the server.
        shape: the model's.
        modules: adapters to load at start, folder by name.
        rank: the greatest of all adapters that may be loaded.

    Raises:
        CannotServe: the model does not fit, or an adapter's rank is beyond vLLM's.
    """
    top = lora_rank(max(rank, config.lora.rank)) if config.lora else 0
    parts = memory_parts(config, shape, top)
    budget = config.hardware.memory_gb * 1e9 * config.hardware.memory_share
    if config.model.kind == "embed":
        if sum(parts.values()) > budget:
            raise CannotServe(_too_large(config, sum(parts.values()), budget))
        context, cache = min(shape.positions, config.context.max_tokens), 0
    else:
        context, cache = _context(config, shape, sum(parts.values()), budget)
        parts["cache"] = budget - sum(parts.values())
    given = dict(modules or {})
    return Plan(
        arguments=_arguments(config, context, top, given),
        environment=_environment(config, parts.get("cache", 0.0)),
        parts=parts, budget=budget, context=context, cache_tokens=cache, rank=top, modules=given,
    )  # fmt: skip


def lora_rank(rank: int) -> int:
    """The least rank that vLLM accepts and that `rank` fits into.

    Raises:
        CannotServe: there is none.
    """
    for accepted in RANKS:
        if rank <= accepted:
            return accepted
    raise CannotServe(f"rank {rank} is above {RANKS[-1]}, the greatest that vLLM serves")


def memory_parts(config: Config, shape: Shape, rank: int) -> dict[str, float]:
    """Bytes on each device of everything but the cache."""
    element = _BYTES[config.model.dtype]
    weights = 1.0 if config.model.quantization == "fp8" else element
    devices = config.hardware.devices
    parts = {"weights": shape.weight_bytes(weights, embedding_element=element) / devices}
    if config.lora:
        parts["adapter slots"] = config.lora.max_loras * shape.adapter_bytes(rank, element) / devices
    parts["activations and process"] = _RESERVE[config.hardware.device]
    return parts


def _context(config: Config, shape: Shape, fixed: float, budget: float) -> tuple[int, int]:
    """The longest context of which `context.sequences` fit at once, and the cache's size in tokens."""
    element = 1.0 if config.model.kv_cache_dtype == "fp8" else _BYTES[config.model.dtype]
    per_token = shape.cache_bytes_per_token(element) / config.hardware.devices
    wanted = config.context
    room = int(max(0.0, budget - fixed) / per_token)
    context = min(wanted.max_tokens, shape.positions, room // wanted.sequences // _BLOCK * _BLOCK)
    if context < wanted.min_tokens:
        needed = fixed + wanted.min_tokens * wanted.sequences * per_token
        if shape.positions < wanted.min_tokens:
            raise CannotServe(
                f"{config.model.path} reads {shape.positions} tokens at most, context.min_tokens asks for "
                f"{wanted.min_tokens}"
            )
        raise CannotServe(_too_large(config, needed, budget))
    return context, room


def _too_large(config: Config, needed: float, budget: float) -> str:
    ways = ["hardware.devices"]
    if config.model.kind == "chat":
        ways += ["context.min_tokens", "context.sequences"]
    if not config.model.quantization and config.hardware.device == "cuda":
        ways.insert(0, "model.quantization: fp8")
    return (
        f"{config.model.path} needs {needed / 1e9:.1f} GB on each device, {budget / 1e9:.1f} GB may be used "
        f"({config.hardware.memory_share:.0%} of {config.hardware.memory_gb:g}); change {' or '.join(ways)}"
    )


def _arguments(config: Config, context: int, rank: int, modules: Mapping[str, Path]) -> tuple[str, ...]:
    """The command, one option a line when it is printed."""
    model, server, hardware = config.model, config.server, config.hardware
    # The `vllm` command of the CPU wheel looks for metadata of another name; the module works everywhere.
    given = [server.python or sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    given += [f"--model={model.path}", "--served-model-name", *model.names]
    given += [f"--host={server.host}", f"--port={server.port}", f"--dtype={model.dtype}"]
    given += [f"--max-model-len={context}", "--generation-config=vllm"]
    if model.kind == "embed":
        given += ["--runner=pooling"]
    else:
        given += ["--enable-prefix-caching" if config.prefix_caching else "--no-enable-prefix-caching"]
    if model.quantization:
        given += [f"--quantization={model.quantization}"]
    if model.kv_cache_dtype != "auto":
        given += [f"--kv-cache-dtype={model.kv_cache_dtype}"]
    if model.reasoning_parser:
        given += [f"--reasoning-parser={model.reasoning_parser}"]
    if model.dummy_weights:
        given += ["--load-format=dummy"]
    if hardware.device == "cuda":
        given += [f"--tensor-parallel-size={hardware.devices}"]
        given += [f"--gpu-memory-utilization={hardware.memory_share:g}"]
    if config.max_num_seqs:
        given += [f"--max-num-seqs={config.max_num_seqs}"]
    if config.speculative:
        given += [f"--speculative-config={_speculation(config)}"]
    given += [f"--{name}={value}" if value else f"--{name}" for name, value in config.extra.items()]
    if config.lora:
        given += ["--enable-lora", f"--max-lora-rank={rank}", f"--max-loras={config.lora.max_loras}"]
        if modules:
            given += ["--lora-modules", *(f"{name}={folder}" for name, folder in modules.items())]
    return tuple(given)


def _speculation(config: Config) -> str:
    chosen = config.speculative
    assert chosen is not None
    told: dict[str, str | int] = {"num_speculative_tokens": chosen.tokens}
    if chosen.method == "ngram":
        told |= {"method": "ngram", "prompt_lookup_max": chosen.lookup_max}
    else:
        told |= {"model": chosen.model}
    return json.dumps(told)


def _environment(config: Config, cache: float) -> dict[str, str]:
    """What vLLM reads from its environment; the key goes here, so that no process list shows it."""
    told = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    if Path(config.model.path).is_dir():
        told["HF_HUB_OFFLINE"] = "1"
    if config.lora:
        told["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] = "True"
    if config.hardware.device == "cpu":
        told["VLLM_CPU_KVCACHE_SPACE"] = str(max(1, int(cache / 2**30)))
    if config.server.api_key_file:
        try:
            told["VLLM_API_KEY"] = config.server.api_key_file.read_text(encoding="utf-8").strip()
        except OSError as exc:
            raise CannotServe(f"server.api_key_file {config.server.api_key_file}: {exc.strerror}") from exc
    return told
