"""Configurations: every file is valid, and each fault gives one clear error."""

from pathlib import Path

import pytest

from finetune.config import load_config
from finetune.errors import ConfigError
from tests.finetune.conftest import ROOT, TINY

FILES = sorted((ROOT / "configs" / "finetune").glob("*.yaml"))


def test_config_files_are_all_there() -> None:
    assert [file.stem for file in FILES] == [
        "qwen2.5-0.5b-cpu", "qwen3-32b-fsdp-8x", "qwen3-32b-kto-h200", "qwen3-32b-lora-h200",
        "qwen3-32b-qlora-80g", "qwen3.6-27b-lora-80g", "tiny-cpu",
    ]  # fmt: skip


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_config_file_is_valid_and_opens_with_its_command(file: Path) -> None:
    config = load_config(file)
    first = file.read_text(encoding="utf-8").splitlines()[0]
    assert config.name == file.stem
    assert first.startswith("# python -m finetune.")
    step = "preference" if config.preference else "train"
    assert f"finetune.{step} --config configs/finetune/{file.name}" in first


def changed(tmp_path: Path, old: str, new: str) -> Path:
    text = TINY.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "changed.yaml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path


def test_config_unknown_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"lora\.rang: unknown key"):
        load_config(changed(tmp_path, "rank: 32", "rang: 32"))


def test_config_names_all_faults_at_once(tmp_path: Path) -> None:
    path = changed(tmp_path, "rank: 32\n  alpha: 64", "rank: 0\n  alpha: -1")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert "lora.rank" in str(caught.value)
    assert "lora.alpha" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_config_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"없는\.yaml: cannot be read"):
        load_config(tmp_path / "없는.yaml")


@pytest.mark.parametrize("text", ["- 1\n", "a: [1\n", "", "name: 가나다\n"])
def test_config_faulty_file_is_one_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "faulty.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"faulty\.yaml"):
        load_config(path)


def test_config_refuses_sharding_over_one_device(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="2 or more"):
        load_config(changed(tmp_path, "device: cpu", "device: cpu\n  fsdp: true"))


def test_data_are_of_the_faq_that_the_api_serves(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lora = ROOT / "configs" / "finetune" / "qwen3-32b-lora-h200.yaml"
    monkeypatch.chdir(ROOT)
    assert load_config(lora).data.faq == Path("configs/faq/sample.jsonl")
    settings = tmp_path / "app.yaml"
    settings.write_text("corpus:\n  faq: /srv/faq.csv\n", encoding="utf-8")
    monkeypatch.setenv("SMARTSTORE_CONFIG", str(settings))
    assert load_config(lora).data.faq == Path("/srv/faq.csv")
    monkeypatch.setenv("SMARTSTORE_CORPUS__FAQ", "/srv/mine.pkl")
    monkeypatch.setenv("SMARTSTORE_EVAL_DIR", "/srv/cases")
    data = load_config(lora).data
    assert (data.faq, data.avoid) == (Path("/srv/mine.pkl"), Path("/srv/cases"))
