"""An adapter on disk: its folder, its immutable name, its card, and whether it fits a base model.

    var/adapters/faq-20261122-1a2b3c4d/
        adapter_config.json, adapter_model.safetensors    as peft writes them
        card.json                                         what `serving` reads, see `Card`

Knows files alone: no torch, no training. The base fingerprint is defined here (`base_fingerprint`).
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import struct
from datetime import date
from pathlib import Path
from typing import Any, TypedDict

from finetune.errors import BaseMismatch, FinetuneError
from finetune.shape import ModelShape
from retrieval.prompt import Message

NAME = re.compile(r"faq-\d{8}-[0-9a-f]{8}")
_MODULE = re.compile(r"\.layers\.(\d+)\.(?:self_attn|mlp)\.(\w+)\.lora_([AB])\.weight$")
_SAMPLE = 65536


class Canary(TypedDict):
    """A prompt whose answers tell whether the adapter is really in effect.

    Attributes:
        messages: the prompt, to be sent with `chat_template_kwargs: {enable_thinking: false}`.
        max_tokens: how long the answers are, in tokens; greedy decoding (temperature 0).
        reference: what base and adapter together answer.
        base: what the base model answers alone.
        top_tokens: the five likeliest tokens at each of the first positions of `reference`, best first.
    """

    messages: list[Message]
    max_tokens: int
    reference: str
    base: str
    top_tokens: list[list[str]]


class Card(TypedDict):
    """`card.json`: where an adapter comes from and how good it is.

    Attributes:
        name: `faq-YYYYMMDD-<first 8 hex digits of the weights' sha256>`, never used again.
        base_model: the base as the configuration names it.
        base_fingerprint: of the base's shape and weights, see `base_fingerprint`.
        rank: of the adapter, for `--max-lora-rank`.
        data_hash: sha256 of the training data.
        config: the whole configuration of the run.
        git_commit: of the code, empty where it was no checkout; `-dirty` where it had changes.
        metrics: of training, and of each evaluation.
        canary: see `Canary`.
    """

    name: str
    base_model: str
    base_fingerprint: str
    rank: int
    data_hash: str
    config: dict[str, Any]
    git_commit: str
    metrics: dict[str, Any]
    canary: Canary


def adapter_name(folder: Path, day: date) -> str:
    """The name for the adapter that lies in `folder`."""
    digest = hashlib.sha256((folder / "adapter_model.safetensors").read_bytes())
    digest.update((folder / "adapter_config.json").read_bytes())
    return f"faq-{day:%Y%m%d}-{digest.hexdigest()[:8]}"


def base_fingerprint(base: Path) -> str:
    """Returns 32 hex digits that tell one base model from another.

    Hashes `config.json`'s sizes and, of every `*.safetensors` in the order of names, its size and its
    first and last 64 KiB: cheap at 65 GB, and other weights of the same shape differ.

    Raises:
        FinetuneError: the folder holds no such model.
    """
    try:
        config = json.loads((base / "config.json").read_text(encoding="utf-8"))
        files = sorted(base.glob("*.safetensors"))
        digest = hashlib.sha256()
        for key in ("model_type", "hidden_size", "num_hidden_layers", "vocab_size"):
            digest.update(f"{key}={config.get(key)};".encode())
        for file in files:
            size = file.stat().st_size
            digest.update(f"{size};".encode())
            with file.open("rb") as weights:
                digest.update(weights.read(_SAMPLE))
                weights.seek(max(0, size - _SAMPLE))
                digest.update(weights.read(_SAMPLE))
    except (OSError, ValueError) as exc:
        raise FinetuneError(f"{base}: holds no base model ({exc})") from exc
    if not files:
        raise FinetuneError(f"{base}: holds no *.safetensors")
    return digest.hexdigest()[:32]


def tensor_shapes(file: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a safetensors file, from its header alone.

    Raises:
        FinetuneError: it is no such file.
    """
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header = json.loads(stream.read(length))
    except (OSError, ValueError, struct.error, MemoryError, OverflowError) as exc:
        raise FinetuneError(f"{file}: is no safetensors file ({exc})") from exc
    return {name: tuple(entry["shape"]) for name, entry in header.items() if name != "__metadata__"}


def check_fits(folder: Path, shape: ModelShape) -> int:
    """Checks that every tensor of an adapter belongs to a module of the base; returns the rank.

    Raises:
        BaseMismatch: names the first module that the base does not have in that size.
        FinetuneError: the folder holds no adapter.
    """
    rank = 0
    for name, size in tensor_shapes(folder / "adapter_model.safetensors").items():
        match = _MODULE.search(name)
        if match is None or match[2] not in shape.linear or int(match[1]) >= shape.layers:
            raise BaseMismatch(f"{folder.name}: the base has no module for {name}")
        inputs, outputs = shape.linear[match[2]]
        rank = size[0] if match[3] == "A" else size[1]
        expected = (rank, inputs) if match[3] == "A" else (outputs, rank)
        if size != expected:
            raise BaseMismatch(f"{folder.name}: {name} is {size}, the base needs {expected}")
    if rank == 0:
        raise BaseMismatch(f"{folder.name}: holds no LoRA weights")
    return rank


def read_card(folder: Path) -> Card:
    """Reads `card.json`. Raises `FinetuneError` where there is none."""
    try:
        card: Card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise FinetuneError(f"{folder}: has no readable card.json ({exc})") from exc
    return card


def write_card(folder: Path, card: Card) -> None:
    """Writes `card.json`; a reader sees the old card or the new one, never half of one."""
    fresh = folder / "card.json.new"
    fresh.write_text(json.dumps(card, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    fresh.replace(folder / "card.json")


def publish(folder: Path, adapters: Path, card: Card) -> Path:
    """Copies the adapter under its name; does nothing where it is there already. Returns its folder."""
    target = adapters / card["name"]
    if target.exists():
        return target
    adapters.mkdir(parents=True, exist_ok=True)
    staged = adapters / f".{card['name']}"
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy2(folder / name, staged / name)
    write_card(staged, card)
    staged.rename(target)
    return target
