"""Makes adapters that a server may load without a word, though they cannot work.

Each is published as training would publish it, with a name that fits its files: only what it is about is
wrong.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
from dataclasses import replace
from pathlib import Path

from serving.registry.adapter import Adapter, read_adapter
from serving.registry.card import write_card


def misnamed(adapter: Adapter, registry: Path) -> Adapter:
    """A copy whose modules lie where a multimodal model has them: vLLM finds none of them in this one."""
    header, weights = _read(adapter.folder / "adapter_model.safetensors")
    renamed = {
        name.replace("model.model.layers", "model.model.language_model.layers"): entry
        for name, entry in header.items()
    }
    return _publish(adapter, registry, _joined(renamed, weights))


def halved(adapter: Adapter, registry: Path) -> Adapter:
    """A copy whose MLP modules lie elsewhere: only the attention part of it is in effect."""
    header, weights = _read(adapter.folder / "adapter_model.safetensors")
    renamed = {name.replace(".mlp.", ".ffn."): entry for name, entry in header.items()}
    return _publish(adapter, registry, _joined(renamed, weights))


def rebased(adapter: Adapter, registry: Path) -> Adapter:
    """A copy in this registry of an adapter that was trained on another base."""
    return _publish(adapter, registry, (adapter.folder / "adapter_model.safetensors").read_bytes())


def _publish(adapter: Adapter, registry: Path, content: bytes) -> Adapter:
    config = (adapter.folder / "adapter_config.json").read_bytes()
    digest = hashlib.sha256(content + config).hexdigest()[:8]
    name = f"{adapter.name[:12]}-{digest}"
    folder = registry / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_bytes(content)
    (folder / "adapter_config.json").write_bytes(config)
    write_card(folder, replace(adapter.card, name=name))
    return read_adapter(registry, name)


def _read(file: Path) -> tuple[dict[str, object], bytes]:
    content = file.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def _joined(header: dict[str, object], weights: bytes) -> bytes:
    told = json.dumps(header).encode()
    told += b" " * (-len(told) % 8)
    return struct.pack("<Q", len(told)) + told + weights
