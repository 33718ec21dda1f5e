"""The benchmark's parts that need no vLLM: stand-ins, commands, the table; the rest runs on a real server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from serving.benchmark import Load, Measured, bench_command, main, table
from serving.dummy import write_adapter
from serving.launch.config import load_config
from serving.registry.adapter import check_modules
from serving.registry.shape import read_shape

ROOT = Path(__file__).resolve().parents[2]
LORA = ROOT / "configs/serving/qwen3-32b-lora.yaml"


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths in configurations are relative to where the commands are run."""
    monkeypatch.chdir(ROOT)


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    """A folder that looks like a tokenizer's."""
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    (folder / "tokenizer_config.json").write_text("{}", encoding="utf-8")
    return folder


def test_dummy_adapter_fits_every_module_of_the_model(tmp_path: Path) -> None:
    shape = read_shape(ROOT / "configs/finetune/shapes/qwen3-32b.json")
    write_adapter(tmp_path, shape, rank=32)
    assert check_modules(tmp_path, shape) == 32
    size = (tmp_path / "adapter_model.safetensors").stat().st_size
    assert size == pytest.approx(shape.adapter_bytes(32, 2.0), rel=1e-3)


def test_dry_run_plans_random_weights_without_a_download(
    tokenizer: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(LORA), "--dummy-weights", f"--tokenizer={tokenizer}", "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "--load-format=dummy" in told
    assert "--model=Qwen" not in told
    assert "--goodput ttft:1000 tpot:50" in told


def test_missing_tokenizer_and_prompts_name_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(LORA), "--dummy-weights", f"--tokenizer={tmp_path}"]) == 1
    assert "python -m finetune.tiny" in capsys.readouterr().err
    assert main([str(LORA), f"--prompts={tmp_path / 'none.jsonl'}"]) == 1
    assert "python -m finetune.dataset" in capsys.readouterr().err


def test_bench_command_says_load_and_slo() -> None:
    load = Load(Path("p.jsonl"), requests=7, concurrency=3, output_tokens=11, ttft_ms=250, tpot_ms=20)
    out = Path("out/base.json")
    line = " ".join(bench_command(load_config(LORA), load, model="qwen3-32b", prompts=Path("p"), out=out))
    for wanted in ("--num-prompts=7", "--max-concurrency=3", "--custom-output-len=11", "ttft:250 tpot:20"):
        assert wanted in line


def test_table_compares_adapter_and_base_when_warm() -> None:
    def passed(model: str, cache: str, tpot: float) -> Measured:
        return Measured(model, cache, 4, 10, 20, tpot, tpot, 100, 200, 1.5, 0.5)

    told = table([passed("base", "cold", 9), passed("base", "warm", 10),
                  passed("faq", "cold", 9), passed("faq", "warm", 10.4)])  # fmt: skip
    assert told.endswith("TPOT x 1.040")
    assert json.dumps(told).count("50%") == 4
