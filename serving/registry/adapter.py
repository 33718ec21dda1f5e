"""The registry of adapters: one folder each, with an immutable name and a card; and whether they fit a base.

Training publishes into it, serving loads from it. Knows files alone; asks no server and loads no weights.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import struct
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from serving.registry.card import Card, read_card, write_card
from serving.registry.errors import AdapterError, ShapeError
from serving.registry.shape import Shape

NAME = re.compile(r"faq-\d{8}-[0-9a-f]{8}")
_FILES = ("adapter_model.safetensors", "adapter_config.json")
_MODULE = re.compile(r"base_model\.model\.model\.layers\.(\d+)\.(self_attn|mlp)\.(\w+)\.lora_([AB])\.weight")
_PLACE = {"gate_proj": "mlp", "up_proj": "mlp", "down_proj": "mlp"}
# Of each end of a weights file: tells other weights of the same shape apart, and is cheap at 65 GB.
_SAMPLE = 65536


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter in the registry."""

    folder: Path
    card: Card

    @property
    def name(self) -> str:
        """Its immutable name, which is its folder's."""
        return self.card.name


def read_adapter(registry: Path, name: str) -> Adapter:
    """Reads one adapter's card.

    Raises:
        AdapterError: there is none of that name, or its card cannot be used.
    """
    if not NAME.fullmatch(name):
        raise AdapterError(name, "is no adapter's name; they look like faq-20261122-1a2b3c4d")
    folder = registry / name
    if not (folder / "card.json").is_file():
        known = ", ".join(adapter.name for adapter in list_adapters(registry)) or "none"
        raise AdapterError(name, f"is not in {registry}; there: {known}")
    found = Adapter(folder, read_card(folder))
    if found.name != name:
        raise AdapterError(name, f"its card is of {found.name}; folders must not be renamed")
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


def adapter_name(folder: Path, day: date) -> str:
    """The name for the adapter whose files lie in `folder`. Raises `AdapterError` where one is missing."""
    return f"faq-{day:%Y%m%d}-{_digest(folder, folder.name)[:8]}"


def publish(trained: Path, registry: Path, card: Card) -> Path:
    """Copies an adapter under its card's name; does nothing where it is there already. Returns its folder."""
    target = registry / card.name
    if target.exists():
        return target
    registry.mkdir(parents=True, exist_ok=True)
    staged = registry / f".{card.name}"
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir()
    for name in _FILES:
        shutil.copy2(trained / name, staged / name)
    write_card(staged, card)
    staged.rename(target)
    return target


def check_name(adapter: Adapter) -> None:
    """Checks that the files are those that the name was made from.

    Raises:
        AdapterError: somebody changed them; names are immutable.
    """
    if not adapter.name.endswith(_digest(adapter.folder, adapter.name)[:8]):
        raise AdapterError(
            adapter.name, "its files are not those it was named for; train or publish it again"
        )


def _digest(folder: Path, name: str) -> str:
    digest = hashlib.sha256()
    try:
        for file in _FILES:
            digest.update((folder / file).read_bytes())
    except OSError as exc:
        raise AdapterError(name, f"{exc.filename} cannot be read ({exc.strerror})") from exc
    return digest.hexdigest()


def check_modules(folder: Path, shape: Shape, *, rank: int | None = None) -> int:
    """Checks that every tensor of an adapter belongs to a module of the base, in its size.

    vLLM skips a tensor of another path without a word, so a wrong name must be caught here.

    Args:
        folder: of the adapter, finished or just trained.
        shape: the base's.
        rank: what the card says; None takes what the first tensor has.

    Returns:
        The rank.

    Raises:
        AdapterError: names the first tensor that does not fit.
    """
    for name, size in tensor_shapes(folder).items():
        match = _MODULE.fullmatch(name)
        module = match[3] if match else ""
        known = match and shape.has(module, int(match[1])) and match[2] == _PLACE.get(module, "self_attn")
        if not match or not known:
            raise AdapterError(folder.name, f"the base has no module for {name}")
        inputs, outputs = shape.linear[module]
        if rank is None:
            rank = size[0] if match[4] == "A" else size[-1]
        expected = (rank, inputs) if match[4] == "A" else (outputs, rank)
        if size != expected:
            raise AdapterError(folder.name, f"{name} is {size}, the base and rank need {expected}")
    if not rank:
        raise AdapterError(folder.name, "holds no weights")
    return rank


def check_base(card: Card, base: Path) -> None:
    """Checks that the adapter was trained on the model in the folder `base`.

    Raises:
        AdapterError: it was trained on another one.
    """
    found = base_fingerprint(base)
    if card.base_fingerprint and found != card.base_fingerprint:
        raise AdapterError(
            card.name,
            f"was trained on {card.base_model} ({card.base_fingerprint[:8]}), not on {base} ({found[:8]})",
        )


def base_fingerprint(base: Path) -> str:
    """32 hex digits of the sizes in `config.json` and of both ends of every weights file.

    Raises:
        ShapeError: the folder holds no base model.
    """
    digest = hashlib.sha256()
    try:
        config = json.loads((base / "config.json").read_text(encoding="utf-8"))
        for key in ("model_type", "hidden_size", "num_hidden_layers", "vocab_size"):
            digest.update(f"{key}={config.get(key)};".encode())
        for file in sorted(base.glob("*.safetensors")):
            size = file.stat().st_size
            digest.update(f"{size};".encode())
            with file.open("rb") as weights:
                digest.update(weights.read(_SAMPLE))
                weights.seek(max(0, size - _SAMPLE))
                digest.update(weights.read(_SAMPLE))
    except (OSError, ValueError, AttributeError) as exc:
        raise ShapeError(f"{base}: holds no base model ({exc})") from exc
    return digest.hexdigest()[:32]


def tensor_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of an adapter's tensors, from its file's header alone.

    Raises:
        AdapterError: it is no safetensors file.
    """
    file = folder / "adapter_model.safetensors"
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header = json.loads(stream.read(min(length, file.stat().st_size)))
    except (OSError, ValueError, struct.error) as exc:
        raise AdapterError(folder.name, f"{file} is no safetensors file ({exc})") from exc
    return {name: tuple(entry["shape"]) for name, entry in header.items() if name != "__metadata__"}
