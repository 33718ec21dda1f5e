"""Serving configurations: faults are one clear error, memory decides the context, adapters the rank."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from serving.errors import CannotServe, ConfigError
from serving.launch.command import lora_rank, plan
from serving.launch.config import Config, load_config
from serving.launch.preflight import make_plan
from serving.launch.supervisor import main
from serving.registry.shape import read_shape

ROOT = Path(__file__).resolve().parents[2]
LORA = ROOT / "configs/serving/qwen3-32b-lora.yaml"
SHAPE = ROOT / "configs/finetune/shapes/qwen3-32b.json"


def _changed(tmp_path: Path, **sections: object) -> Path:
    raw = yaml.safe_load(LORA.read_text(encoding="utf-8"))
    raw["model"]["shape"] = str(SHAPE)
    raw["lora"]["adapters"] = str(tmp_path / "adapters")
    for name, content in sections.items():
        raw[name] = (raw.get(name) or {}) | content if isinstance(content, dict) else content
    file = tmp_path / "serving.yaml"
    file.write_text(yaml.safe_dump(raw), encoding="utf-8")
    return file


def _config(tmp_path: Path, **sections: object) -> Config:
    return load_config(_changed(tmp_path, **sections))


def test_config_names_unknown_keys(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"hardware\.gpus: unknown key"):
        _config(tmp_path, hardware={"gpus": 2})


def test_config_names_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"없는\.yaml: cannot be read"):
        load_config(tmp_path / "없는.yaml")


@pytest.mark.parametrize("text", ["- 1\n", "a: [", ""])
def test_config_that_is_no_mapping_is_one_error(tmp_path: Path, text: str) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError):
        load_config(file)


def test_config_reports_all_faults_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        _config(tmp_path, server={"port": 0}, context={"sequences": 0})
    assert "server.port" in str(caught.value)
    assert "context.sequences" in str(caught.value)


def test_shape_of_qwen3_32b_has_its_parameters() -> None:
    assert read_shape(SHAPE).parameters == pytest.approx(32.76e9, rel=0.002)
    assert read_shape(SHAPE).cache_bytes_per_token(2.0) == 262_144


def test_context_shrinks_with_memory_until_it_is_refused(tmp_path: Path) -> None:
    shape = read_shape(SHAPE)
    large = plan(_config(tmp_path), shape)
    small = plan(_config(tmp_path, hardware={"memory_gb": 96}), shape)
    assert large.context == 16384
    assert small.context < large.context
    assert small.context % 16 == 0
    with pytest.raises(CannotServe, match=r"needs 8\d\.\d GB on each device.*quantization: fp8"):
        plan(_config(tmp_path, hardware={"memory_gb": 80}), shape)


def test_fp8_halves_the_weights_and_fits_80_gb(tmp_path: Path) -> None:
    shape = read_shape(SHAPE)
    made = plan(_config(tmp_path, model={"quantization": "fp8"}, hardware={"memory_gb": 80}), shape)
    assert made.parts["weights"] == pytest.approx(34.3e9, rel=0.01)
    assert "--quantization=fp8" in made.arguments


@pytest.mark.parametrize(("rank", "served"), [(1, 1), (2, 8), (8, 8), (33, 64), (512, 512)])
def test_rank_is_the_least_that_vllm_accepts(rank: int, served: int) -> None:
    assert lora_rank(rank) == served


def test_rank_follows_the_adapters_and_has_an_end(tmp_path: Path) -> None:
    made = plan(_config(tmp_path), read_shape(SHAPE), rank=48)
    assert "--max-lora-rank=64" in made.arguments
    with pytest.raises(CannotServe, match="rank 513"):
        plan(_config(tmp_path), read_shape(SHAPE), rank=513)


def test_command_has_what_the_configuration_says(tmp_path: Path) -> None:
    speculative = {"method": "ngram", "tokens": 3}
    made = plan(_config(tmp_path, speculative=speculative, max_num_seqs=32), read_shape(SHAPE))
    line = " ".join(made.arguments)
    for wanted in (
        "--enable-prefix-caching",
        "--served-model-name qwen3-32b faq-current",
        "--max-num-seqs=32",
    ):
        assert wanted in line
    assert '"num_speculative_tokens": 3' in line
    assert made.environment["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] == "True"


def test_key_is_in_the_environment_and_not_on_the_command_line(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("s3cret\n", encoding="utf-8")
    made = plan(_config(tmp_path, server={"api_key_file": str(key)}), read_shape(SHAPE))
    assert made.environment["VLLM_API_KEY"] == "s3cret"
    assert "s3cret" not in " ".join(made.arguments)


def test_model_that_is_neither_folder_nor_described_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotServe, match="is no folder"):
        make_plan(_config(tmp_path, model={"shape": None}))


@pytest.mark.parametrize(
    ("sections", "reason"),
    [
        ({"hardware": {"memory_gb": 24}}, "error: Qwen/Qwen3-32B needs"),
        ({"hardware": {"cores": 1}}, "hardware.cores: unknown key"),
        ({"model": {"shape": "/nowhere.json"}}, "error: /nowhere.json: cannot be read"),
    ],
)
def test_launch_prints_one_line_and_starts_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], sections: dict[str, object], reason: str
) -> None:
    assert main([str(_changed(tmp_path, **sections))]) == 1
    told = capsys.readouterr().err.strip()
    assert reason in told
    assert "\n" not in told


def test_dry_run_tells_the_command_and_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(_changed(tmp_path, server={"python": "/nowhere/python"})), "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "--max-lora-rank=32" in told
    assert "not here: server.python /nowhere/python" in told
