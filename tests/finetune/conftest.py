"""Fixtures for fine-tuning: the sample FAQ's data, a tiny Qwen3, and an adapter that knows 20 FAQs by heart.

What needs torch is skipped where it is missing; `make finetune-env` installs it.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import yaml

from finetune.config import Config, load_config

ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / "configs" / "finetune" / "tiny-cpu.yaml"
INSTALL = "needs PyTorch and trl: run `make finetune-env`, then `make test-finetune`"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips loudly what needs torch, and lets the training stack's own warnings pass."""
    missing = importlib.util.find_spec("torch") is None or importlib.util.find_spec("trl") is None
    for item in items:
        if item.get_closest_marker("torch") is None:
            continue
        item.add_marker(pytest.mark.timeout(900))
        item.add_marker(pytest.mark.filterwarnings("ignore"))
        if missing:
            item.add_marker(pytest.mark.skip(reason=INSTALL))


def tiny_config(folder: Path, changes: dict[str, dict[str, object]] | None = None) -> tuple[Path, Config]:
    """Writes `tiny-cpu.yaml` with its folders under `folder` and `changes` per section; returns it, read."""
    raw = yaml.safe_load(TINY.read_text(encoding="utf-8"))
    raw["runs"], raw["adapters"] = str(folder / "runs"), str(folder / "adapters")
    raw["data"]["folder"], raw["model"]["base"] = str(folder / "data"), str(folder / "base")
    raw["data"]["faq"] = str(ROOT / raw["data"]["faq"])
    raw["data"]["expansions"] = str(ROOT / "configs" / "expansions")
    raw["data"]["scope"] = str(ROOT / "configs" / "scope" / "train.jsonl")
    for section, values in (changes or {}).items():
        raw[section].update(values)
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(raw, allow_unicode=True), encoding="utf-8")
    return path, load_config(path)


class Learnt:
    """A finished overfit run: its configuration, the adapter's folder, and the base."""

    def __init__(self, config_file: Path, config: Config, adapter: Path) -> None:
        self.config_file, self.config, self.adapter = config_file, config, adapter
        self.base = Path(config.model.base)


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random Qwen3 with its own tokenizer."""
    from finetune.tiny import build_tiny, corpus_texts

    out = tmp_path_factory.mktemp("tiny") / "base"
    sample = ROOT / "configs" / "faq" / "sample.jsonl"
    build_tiny(out, corpus_texts(sample, ROOT / "configs" / "expansions"))
    return out


@pytest.fixture(scope="session")
def learnt(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Learnt:
    """An adapter trained on 20 FAQs until it knows them by heart (one to five minutes)."""
    from finetune.dataset import build, write
    from finetune.finish import finish
    from finetune.train import train

    folder = tmp_path_factory.mktemp("learnt")
    path, config = tiny_config(folder, {"model": {"base": str(tiny_base)}, "data": {"validation_share": 0.0}})
    write(build(config), config)
    train(config)
    return Learnt(path, config, finish(config))
