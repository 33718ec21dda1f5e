"""Reads `configs/finetune/*.yaml`: one file says all of a fine-tuning run, from data to adapter.

Knows names, types and bounds; opens no model and no corpus. Unknown keys are errors.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from finetune.errors import ConfigError

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]
LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Mix(_Section):
    """How many examples of each kind there are per FAQ (the first three) or in all.

    Attributes:
        grounded: questions per FAQ that are answered from it (its title, then its expansions).
        not_found: share of FAQs asked for while they are missing from the passages.
        multi_turn: share of FAQs asked for after a turn about a related FAQ.
        followup: share of FAQs asked for in a few words that lean on the turn before.
        off_topic: refusals as a share of all examples, as far as there are lines for them.
        unanswerable: honest not-founds for questions of `scope`, as such a share.
    """

    grounded: Annotated[int, Field(ge=0, le=10)] = 3
    not_found: Share = 0.15
    multi_turn: Share = 0.25
    followup: Share = 0.25
    off_topic: Share = 0.05
    unanswerable: Share = 0.03


class Teacher(_Section):
    """An OpenAI-compatible endpoint that rewrites answers; `api_key_file` holds the key alone."""

    base_url: str
    model: str
    api_key_file: Path | None = None
    timeout_s: Annotated[float, Field(gt=0)] = 60.0
    support: Share = 0.6


class Data(_Section):
    """Where examples come from and go to.

    Attributes:
        folder: gets `train.jsonl`, `validation.jsonl` and `card.json`.
        faq: the corpus; by default the one that the API serves.
        expansions: other ways of asking, a file or a folder; likewise.
        scope: lines that are off topic or cannot be answered.
        index: a built index to search for hard negatives; empty: one is built in memory.
        embedder: of the index.
        passages: FAQs per prompt, as the API's setting of that name.
        validation_share: share of the FAQs that training never sees.
        limit: at most so many FAQs, in the order of the file.
        avoid: a folder of `.jsonl` whose lines may appear in no example; by default SMARTSTORE_EVAL_DIR.
    """

    folder: Path
    faq: Path = Field(default_factory=lambda: _of_settings("faq", "configs/faq/sample.jsonl"))
    expansions: Path = Field(default_factory=lambda: _of_settings("expansions", "configs/expansions"))
    scope: Path = Path("configs/scope/train.jsonl")
    index: str = ""
    embedder: str = "e5-small"
    passages: Annotated[int, Field(ge=1, le=20)] = 4
    validation_share: Annotated[float, Field(ge=0, le=0.5)] = 0.05
    limit: Positive | None = None
    mix: Mix = Mix()
    avoid: Path | None = Field(default_factory=lambda: _evaluation_folder())
    teacher: Teacher | None = None


def _of_settings(name: str, bundled: str) -> Path:
    """`corpus.NAME` as the API has it: by its variable, by its settings file, else the bundled one."""
    if told := os.environ.get(f"SMARTSTORE_CORPUS__{name.upper()}"):
        return Path(told)
    file = Path(os.environ.get("SMARTSTORE_CONFIG", "configs/app.yaml"))
    try:
        return Path(yaml.safe_load(file.read_text(encoding="utf-8"))["corpus"][name])
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        return Path(bundled)


def _evaluation_folder() -> Path | None:
    folder = os.environ.get("SMARTSTORE_EVAL_DIR")
    return Path(folder) if folder else None


class Model(_Section):
    """The base model.

    Attributes:
        base: a folder, or a hub id.
        shape: a `config.json` to judge memory by where `base` is no folder.
        random_weights: fill `shape` with random weights instead of loading any (for measuring only).
    """

    base: str
    shape: Path | None = None
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    load_in_4bit: bool = False
    attention: Literal["sdpa", "eager", "flash_attention_2"] = "sdpa"
    random_weights: bool = False


class Lora(_Section):
    """The adapter (Hu et al. 2021, arXiv:2106.09685)."""

    rank: Annotated[int, Field(ge=1, le=512)] = 16
    alpha: Annotated[float, Field(gt=0)] = 32
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    targets: tuple[str, ...] = LINEAR


class Training(_Section):
    """The optimisation; lengths in tokens, intervals in optimizer steps.

    Attributes:
        batch: rows per device and forward pass; with `packing` a row is filled up to `max_length`.
        accumulation: forward passes per optimizer step.
        max_steps: ends earlier than `epochs`, 0 for no such bound.
        patience: evaluations without a better loss before training stops, 0 to never stop early.
    """

    max_length: Annotated[int, Field(ge=64)] = 8192
    packing: bool = True
    batch: Positive = 1
    accumulation: Positive = 8
    epochs: Annotated[float, Field(gt=0)] = 2.0
    max_steps: Annotated[int, Field(ge=0)] = 0
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 2e-4
    scheduler: Literal["cosine", "linear", "constant", "constant_with_warmup"] = "cosine"
    warmup_steps: Annotated[int, Field(ge=0)] = 20
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    optimizer: Literal["adamw_torch", "adamw_torch_fused", "paged_adamw_8bit"] = "adamw_torch"
    gradient_checkpointing: bool = True
    eval_steps: Positive = 50
    save_steps: Positive = 50
    log_steps: Positive = 5
    patience: Annotated[int, Field(ge=0)] = 3
    seed: int = 7
    tensorboard: bool = False


class Preference(_Section):
    """Training further on what people said of answers, see `finetune.preference`.

    Attributes:
        method: `kto` learns from single thumbs, `dpo` from pairs of a better and a worse answer.
        adapter: the folder of the adapter to start from; it is also what the new one must not stray from.
        beta: how firmly it is held to that; higher strays less.
    """

    method: Literal["kto", "dpo"]
    adapter: Path
    beta: Annotated[float, Field(gt=0)] = 0.1


class Hardware(_Section):
    """What the run may use; `memory_gb` is one device's, in 10^9 bytes; `fsdp` shards over `devices`."""

    device: Literal["cuda", "cpu"] = "cuda"
    devices: Positive = 1
    memory_gb: Annotated[float, Field(gt=0)]
    fsdp: bool = False


class Config(_Section):
    """A whole fine-tuning run.

    Attributes:
        name: of the run; its checkpoints and curves lie in `runs/name`.
        adapters: where finished adapters go, one folder each.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    runs: Path = Path("var/finetune/runs")
    adapters: Path = Path("var/adapters")
    data: Data
    model: Model
    lora: Lora = Lora()
    training: Training = Training()
    hardware: Hardware
    preference: Preference | None = None

    @property
    def run_folder(self) -> Path:
        """Where checkpoints and curves of this run lie."""
        return self.runs / self.name

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        if self.hardware.fsdp and self.hardware.devices < 2:
            raise ValueError("hardware.fsdp shards over several devices; set hardware.devices to 2 or more")
        if self.hardware.fsdp and self.model.load_in_4bit:
            raise ValueError("model.load_in_4bit and hardware.fsdp exclude each other here; drop one")
        if self.training.save_steps % self.training.eval_steps and self.training.patience:
            raise ValueError(
                "training.save_steps must be a multiple of training.eval_steps while training.patience is set"
            )
        if self.preference and self.hardware.fsdp:
            raise ValueError("preference trains on one device; drop hardware.fsdp")
        if self.preference and self.preference.method == "kto" and self.training.batch < 2:
            raise ValueError(
                "preference.method kto compares a batch's answers; set training.batch to 2 or more"
            )
        return self


def load_config(path: Path) -> Config:
    """Reads and checks one configuration; relative paths stay relative to the working directory.

    Raises:
        ConfigError: one line that names every fault.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as exc:
        raise ConfigError(path, f"cannot be read ({exc.strerror}); see configs/finetune/") from exc
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as exc:
        raise ConfigError(path, f"is no YAML: {' '.join(str(exc).split())}") from exc
    if not isinstance(raw, dict):
        raise ConfigError(path, "must hold the sections name, data, model and hardware")
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
