"""The registry of adapters: one folder each, with an immutable name and a card.

    var/adapters/faq-20261122-1a2b3c4d/
        adapter_config.json, adapter_model.safetensors    as peft writes them
        card.json                                         written when the training ended

Knows files alone, and whether they fit a base model; asks no server. Fingerprints are computed as the
training computes them (a test compares the two).
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving.errors import AdapterError
from serving.registry.shape import Shape

NAME = re.compile(r"faq-\d{8}-[0-9a-f]{8}")
_MODULE = re.compile(r"base_model\.model\.model\.layers\.(\d+)\.(self_attn|mlp)\.(\w+)\.lora_([AB])\.weight")
_PLACE = {"gate_proj": "mlp", "up_proj": "mlp", "down_proj": "mlp"}
_SAMPLE = 65536


@dataclass(frozen=True, slots=True)
class Canary:
    """A prompt whose greedy answers tell whether the adapter is in effect.

    Attributes:
        messages: the prompt.
        max_tokens: how long the answers are.
        reference: what base and adapter together answered at the end of training.
        base: what the base model answered alone.
    """

    messages: tuple[dict[str, str], ...]
    max_tokens: int
    reference: str
    base: str


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter in the registry; `card` is all of its card."""

    name: str
    folder: Path
    base_model: str
    base_fingerprint: str
    rank: int
    canary: Canary
    card: dict[str, Any]


def read_adapter(registry: Path, name: str) -> Adapter:
    """Reads one adapter's card.

    Raises:
        AdapterError: there is none of that name, or its card cannot be used.
    """
    if not NAME.fullmatch(name):
        raise AdapterError(name, "is no adapter's name; they look like faq-20261122-1a2b3c4d")
    folder = registry / name
    try:
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        told = card["canary"]
        canary = Canary(
            tuple(told["messages"]), int(told["max_tokens"]), str(told["reference"]), str(told["base"])
        )
        rank = int(card["rank"])
        found = Adapter(name, folder, card["base_model"], card["base_fingerprint"], rank, canary, card)
    except OSError as exc:
        known = ", ".join(adapter.name for adapter in list_adapters(registry)) or "none"
        raise AdapterError(name, f"is not in {registry}; there: {known}") from exc
    except (ValueError, KeyError, TypeError) as exc:
        raise AdapterError(name, f"its card.json cannot be used ({exc!r})") from exc
    if card.get("name") != name:
        raise AdapterError(name, f"its card is of {card.get('name')}; folders must not be renamed")
    return found


def list_adapters(registry: Path) -> list[Adapter]:
    """All adapters whose card can be read, oldest name first."""
    found = []
    for folder in sorted(registry.glob("faq-*")) if registry.is_dir() else ():
        if NAME.fullmatch(folder.name) and (folder / "card.json").is_file():
            try:
                found.append(read_adapter(registry, folder.name))
            except AdapterError:
                continue
    return found


def check_name(adapter: Adapter) -> None:
    """Checks that the files are those that the name was made from.

    Raises:
        AdapterError: somebody changed them; names are immutable.
    """
    try:
        digest = hashlib.sha256((adapter.folder / "adapter_model.safetensors").read_bytes())
        digest.update((adapter.folder / "adapter_config.json").read_bytes())
    except OSError as exc:
        raise AdapterError(adapter.name, f"{exc.filename} cannot be read ({exc.strerror})") from exc
    if not adapter.name.endswith(digest.hexdigest()[:8]):
        raise AdapterError(
            adapter.name, "its files are not those it was named for; train or publish it again"
        )


def check_modules(adapter: Adapter, shape: Shape) -> None:
    """Checks that every tensor belongs to a module of the base, in its size.

    vLLM skips a tensor of another path without a word, so a wrong name must be caught here.

    Raises:
        AdapterError: names the first tensor that does not fit.
    """
    tensors = tensor_shapes(adapter)
    if not tensors:
        raise AdapterError(adapter.name, "holds no weights")
    for name, size in tensors.items():
        match = _MODULE.fullmatch(name)
        module = match[3] if match else ""
        known = match and module in shape.linear and match[2] == _PLACE.get(module, "self_attn")
        if not match or not known or int(match[1]) >= shape.layers:
            raise AdapterError(adapter.name, f"the base has no module for {name}")
        inputs, outputs = shape.linear[module]
        expected = (adapter.rank, inputs) if match[4] == "A" else (outputs, adapter.rank)
        if size != expected:
            raise AdapterError(adapter.name, f"{name} is {size}, the base and rank need {expected}")


def check_base(adapter: Adapter, base: Path) -> None:
    """Checks that the adapter was trained on the model in the folder `base`.

    Raises:
        AdapterError: it was trained on another one.
    """
    found = base_fingerprint(base)
    if adapter.base_fingerprint and found != adapter.base_fingerprint:
        raise AdapterError(
            adapter.name,
            f"was trained on {adapter.base_model} ({adapter.base_fingerprint[:8]}), "
            f"not on {base} ({found[:8]})",
        )


def base_fingerprint(base: Path) -> str:
    """32 hex digits of the sizes in `config.json` and of both ends of every weights file."""
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    digest = hashlib.sha256()
    for key in ("model_type", "hidden_size", "num_hidden_layers", "vocab_size"):
        digest.update(f"{key}={config.get(key)};".encode())
    for file in sorted(base.glob("*.safetensors")):
        size = file.stat().st_size
        digest.update(f"{size};".encode())
        with file.open("rb") as weights:
            digest.update(weights.read(_SAMPLE))
            weights.seek(max(0, size - _SAMPLE))
            digest.update(weights.read(_SAMPLE))
    return digest.hexdigest()[:32]


def tensor_shapes(adapter: Adapter) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the adapter's tensors, from the file's header alone.

    Raises:
        AdapterError: it is no safetensors file.
    """
    file = adapter.folder / "adapter_model.safetensors"
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header = json.loads(stream.read(min(length, file.stat().st_size)))
    except (OSError, ValueError, struct.error) as exc:
        raise AdapterError(adapter.name, f"{file.name} is no safetensors file ({exc})") from exc
    return {name: tuple(entry["shape"]) for name, entry in header.items() if name != "__metadata__"}
