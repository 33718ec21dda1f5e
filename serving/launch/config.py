"""Reads `configs/serving/*.yaml`: one file says all of one vLLM server.

Knows names, types and bounds; opens no model and starts nothing. Unknown keys are errors.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from serving.errors import ConfigError

Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, le=1)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Model(_Section):
    """What is served.

    Attributes:
        path: a folder, or a hub id.
        names: what requests call the base model; an alias listed here answers until an adapter is promoted.
        shape: a `config.json` to judge memory by where `path` is no folder.
        kind: `chat` generates, `embed` gives vectors.
        quantization: `fp8` halves the weights (on GPUs that have it).
        dummy_weights: random weights in the model's shape: nothing is downloaded (for measuring only).
    """

    path: str
    names: Annotated[tuple[str, ...], Field(min_length=1)]
    shape: Path | None = None
    kind: Literal["chat", "embed"] = "chat"
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    quantization: Literal["fp8"] | None = None
    kv_cache_dtype: Literal["auto", "fp8"] = "auto"
    reasoning_parser: str = ""
    dummy_weights: bool = False


class Server(_Section):
    """Where it listens, and how it is kept up; times in seconds.

    Attributes:
        python: the interpreter that has vLLM; empty for the one that runs the launcher.
        api_key_file: holds the key that requests must carry; empty: none.
        restarts: starts in a row that may fail before the launcher gives up.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 8001
    python: str = ""
    api_key_file: Path | None = None
    ready_timeout_s: Annotated[float, Field(gt=0)] = 1800.0
    stop_timeout_s: Annotated[float, Field(gt=0)] = 60.0
    restarts: Annotated[int, Field(ge=0)] = 5


class Context(_Section):
    """How long prompt and answer may be, in tokens.

    Attributes:
        max_tokens: no longer than this, whatever memory would allow.
        min_tokens: refuse to start with less.
        sequences: how many of full length must fit into the cache at the same time.
    """

    max_tokens: Positive = 16384
    min_tokens: Positive = 4096
    sequences: Positive = 8

    @model_validator(mode="after")
    def _ordered(self) -> Context:
        if self.min_tokens > self.max_tokens:
            raise ValueError("min_tokens must not be above max_tokens")
        return self


class Lora(_Section):
    """Adapters.

    Attributes:
        adapters: their registry, as `finetune` writes it and `smartstore adapters` reads it.
        rank: the least rank to be ready for; adapters of a greater one raise it.
        max_loras: how many may be used in one batch.
    """

    adapters: Path = Path("var/adapters")
    rank: Positive = 32
    max_loras: Positive = 4


class Speculative(_Section):
    """Speculative decoding: guess `tokens` ahead, by n-grams of the prompt or by a smaller model.

    A grounded answer repeats much of its passages, which is what n-grams find.
    """

    method: Literal["ngram", "draft"] = "ngram"
    tokens: Annotated[int, Field(ge=1, le=16)] = 4
    model: str = ""
    lookup_max: Positive = 4

    @model_validator(mode="after")
    def _model_named(self) -> Speculative:
        if (self.method == "draft") != bool(self.model):
            raise ValueError("model is for method: draft, which needs it")
        return self


class Hardware(_Section):
    """What the server may use; `memory_gb` is one device's, in 10^9 bytes."""

    device: Literal["cuda", "cpu"] = "cuda"
    devices: Positive = 1
    memory_gb: Annotated[float, Field(gt=0)]
    memory_share: Share = 0.9


class Config(_Section):
    """A whole server."""

    model: Model
    server: Server = Server()
    context: Context = Context()
    lora: Lora | None = None
    speculative: Speculative | None = None
    hardware: Hardware
    prefix_caching: bool = True
    max_num_seqs: Positive | None = None
    extra: dict[str, str] = {}

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        if self.model.kind == "embed" and (self.lora or self.speculative):
            raise ValueError("an embedding server has neither lora nor speculative")
        if self.model.quantization and self.hardware.device == "cpu":
            raise ValueError("model.quantization: fp8 needs hardware.device: cuda")
        return self


def load_config(path: Path) -> Config:
    """Reads and checks one configuration; relative paths stay relative to the working directory.

    Raises:
        ConfigError: one line that names every fault.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as exc:
        raise ConfigError(path, f"cannot be read ({exc.strerror}); see configs/serving/") from exc
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as exc:
        raise ConfigError(path, f"is no YAML: {' '.join(str(exc).split())}") from exc
    if not isinstance(raw, dict):
        raise ConfigError(path, "must hold the sections model and hardware")
    try:
        return Config.model_validate(raw)
    except ValidationError as exc:
        faults = "; ".join(_fault(error["loc"], error["msg"]) for error in exc.errors())
        raise ConfigError(path, faults) from exc


def _fault(loc: tuple[int | str, ...], message: str) -> str:
    where = ".".join(str(part) for part in loc)
    if message == "Extra inputs are not permitted":
        message = "unknown key"
    return f"{where}: {message}" if where else message
