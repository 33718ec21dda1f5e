"""Memory is judged before weights are loaded, and bases that do not belong to an adapter are refused."""

import json
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from finetune import preflight
from finetune.config import Config, load_config
from finetune.errors import CannotFit, FinetuneError
from serving import dummy
from serving.registry.adapter import check_modules
from serving.registry.errors import AdapterError, ShapeError
from serving.registry.shape import read_shape
from tests.finetune.conftest import ROOT

CONFIGS = ROOT / "configs" / "finetune"
SHAPE = CONFIGS / "shapes" / "qwen3-32b.json"
HYBRID = CONFIGS / "shapes" / "qwen3.6-27b.json"


def qwen(**changes: dict[str, object]) -> Config:
    config = load_config(CONFIGS / "qwen3-32b-lora-h200.yaml")
    raw = config.model_dump()
    raw["model"]["shape"] = SHAPE
    for section, values in changes.items():
        raw[section].update(values)
    return Config.model_validate(raw)


def test_shape_counts_qwen3_32b() -> None:
    shape = read_shape(SHAPE)
    assert shape.parameters == 32_762_123_264  # as the published checkpoint's index sums up
    assert shape.lora_parameters(32, tuple(shape.linear)) == 268_435_456


def test_shape_of_a_hybrid_counts_each_kind_of_layer(tmp_path: Path) -> None:
    shape = read_shape(HYBRID)
    assert shape.parameters == 26_895_998_464  # as transformers builds it, see test_training.py
    # Attention in 16 of 64 layers, its query module makes a gate, too; the feed-forward in all.
    assert shape.lora_parameters(1, ("q_proj",)) == 16 * (5120 + 2 * 24 * 256)
    assert shape.lora_parameters(1, ("up_proj",)) == 64 * (5120 + 17408)
    assert shape.cache_bytes_per_token(2.0) == 2 * 16 * 4 * 256 * 2
    assert [layer for layer in range(8) if shape.has("k_proj", layer)] == [3, 7]
    assert not shape.has("up_proj", 64)
    whole = {
        "architectures": ["Qwen3_5ForConditionalGeneration"],
        "text_config": json.loads(HYBRID.read_text()),
    }
    (tmp_path / "config.json").write_text(json.dumps(whole), encoding="utf-8")
    assert read_shape(tmp_path).parameters == shape.parameters


def test_adapter_on_a_layer_without_attention_is_refused(tmp_path: Path) -> None:
    shape = read_shape(HYBRID)
    dummy.write_adapter(tmp_path / "right", shape, rank=8)
    assert check_modules(tmp_path / "right", shape) == 8
    dummy.write_adapter(tmp_path / "wrong", replace(shape, attention_every=1), rank=8)
    with pytest.raises(AdapterError, match=r"no module for .*layers\.0\.self_attn"):
        check_modules(tmp_path / "wrong", shape)


def test_preflight_refuses_to_pack_where_examples_would_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    config = load_config(CONFIGS / "qwen3.6-27b-lora-80g.yaml")
    assert preflight.check(config).parameters == 26_895_998_464
    packed = config.model_copy(update={"training": config.training.model_copy(update={"packing": True})})
    with pytest.raises(FinetuneError, match="would see each other"):
        preflight.check(packed)


@pytest.mark.parametrize(
    "name",
    ["qwen3-32b-lora-h200", "qwen3-32b-qlora-80g", "qwen3-32b-fsdp-8x", "qwen3.6-27b-lora-80g"],
)
def test_preflight_accepts_the_shipped_configurations(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    assert preflight.main(["--config", str(CONFIGS / f"{name}.yaml")]) == 0
    parameters = "26.90 B parameters, 79.7 M" if "27b" in name else "32.76 B parameters, 134.2 M"
    assert f"{parameters} of them trained" in capsys.readouterr().out


def test_preflight_refuses_bf16_on_80_gb_and_says_what_would_help() -> None:
    with pytest.raises(CannotFit, match=r"needs 8\d\.\d GB.*76\.0 GB.*load_in_4bit") as caught:
        preflight.check(qwen(hardware={"memory_gb": 80}))
    assert caught.value.needed > caught.value.available


def test_preflight_counts_real_memory_where_it_is_smaller() -> None:
    preflight.check(qwen())
    with pytest.raises(CannotFit):
        preflight.check(qwen(), memory=48e9)


def test_preflight_advises_checkpointing_when_activations_are_too_much() -> None:
    with pytest.raises(CannotFit, match="gradient_checkpointing: true"):
        preflight.check(qwen(training={"gradient_checkpointing": False}, model={"load_in_4bit": True}))


def test_preflight_refuses_modules_the_base_does_not_have() -> None:
    with pytest.raises(ShapeError, match="c_attn"):
        preflight.check(qwen(lora={"targets": ("q_proj", "c_attn")}))


def test_preflight_needs_a_shape_for_a_hub_id() -> None:
    with pytest.raises(FinetuneError, match=r"model\.shape"):
        preflight.check(qwen(model={"shape": None}))


def write_adapter(folder: Path, tensors: dict[str, tuple[int, int]]) -> Path:
    header, offset = {}, 0
    for name, size in tensors.items():
        end = offset + 4 * size[0] * size[1]
        header[name] = {"dtype": "F32", "shape": size, "data_offsets": [offset, end]}
        offset = end
    raw = json.dumps(header).encode()
    folder.mkdir(exist_ok=True)
    (folder / "adapter_model.safetensors").write_bytes(struct.pack("<Q", len(raw)) + raw + b"\0" * offset)
    return folder


LAYER = "base_model.model.model.layers.{}.{}.{}.lora_{}.weight"


def test_adapter_of_the_base_fits_and_tells_its_rank(tmp_path: Path) -> None:
    shape = read_shape(SHAPE)
    tensors = {
        LAYER.format(63, "mlp", "up_proj", "A"): (4, 5120),
        LAYER.format(63, "mlp", "up_proj", "B"): (25600, 4),
    }
    assert check_modules(write_adapter(tmp_path / "a", tensors), shape) == 4


@pytest.mark.parametrize(
    ("name", "size"),
    [
        (LAYER.format(64, "mlp", "up_proj", "A"), (4, 5120)),
        (LAYER.format(0, "mlp", "up_proj", "A"), (4, 4096)),
        (LAYER.format(0, "self_attn", "qkv_proj", "A"), (4, 5120)),
    ],
    ids=["no such layer", "another width", "no such module"],
)
def test_adapter_of_another_base_is_refused(tmp_path: Path, name: str, size: tuple[int, int]) -> None:
    with pytest.raises(AdapterError, match=name):
        check_modules(write_adapter(tmp_path / "a", {name: size}), read_shape(SHAPE))


def test_adapter_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "adapter_model.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(AdapterError, match="no safetensors"):
        check_modules(tmp_path, read_shape(SHAPE))
