"""Stand-ins for what would have to be downloaded: a model folder without weights, an adapter of zeros.

For measuring only: how long an answer takes depends on shapes, hardly on values. Knows files alone.
"""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path

from serving.registry.shape import Shape

_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json")
_PLACE = {"gate_proj": "mlp", "up_proj": "mlp", "down_proj": "mlp"}


def write_model(folder: Path, *, shape: Path, tokenizer: Path) -> None:
    """A folder that vLLM loads with `--load-format dummy`: a shape, and any tokenizer that is smaller."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy2(shape / "config.json" if shape.is_dir() else shape, folder / "config.json")
    for name in _TOKENIZER:
        if (tokenizer / name).is_file():
            shutil.copy2(tokenizer / name, folder / name)


def write_adapter(folder: Path, shape: Shape, *, rank: int) -> None:
    """An adapter on every linear module, in bf16, all zeros (a sparse file)."""
    folder.mkdir(parents=True, exist_ok=True)
    header: dict[str, dict[str, object]] = {}
    at = 0
    for layer in range(shape.layers):
        for module, (inputs, outputs) in shape.linear.items():
            if not shape.has(module, layer):
                continue
            place = f"model.layers.{layer}.{_PLACE.get(module, 'self_attn')}.{module}"
            for side, size in (("A", (rank, inputs)), ("B", (outputs, rank))):
                end = at + 2 * size[0] * size[1]
                name = f"base_model.model.{place}.lora_{side}.weight"
                header[name] = {"dtype": "BF16", "shape": list(size), "data_offsets": [at, end]}
                at = end
    told = json.dumps(header).encode()
    with (folder / "adapter_model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(told)) + told)
        file.truncate(8 + len(told) + at)
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": 2 * rank, "target_modules": list(shape.linear)}
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
