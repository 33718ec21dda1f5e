"""An adapter learns from thumbs and from pairs, and does not forget where it came from."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from finetune.config import Config, load_config
from finetune.data.encoding import encode, read_examples
from finetune.errors import ConfigError, DataError
from finetune.preference import load_feedback, main, thumb_weights
from serving.registry.adapter import NAME
from serving.registry.card import read_card
from serving.registry.errors import AdapterError
from tests.finetune.conftest import ROOT, Learnt, tiny_config

BETTER = "판매자센터에서 확인해 주세요. [1]"


def told(method: str, learnt: Learnt) -> list[dict[str, Any]]:
    """What people might say of the adapter: they would rather read `BETTER` than what it learnt by heart."""
    rows = []
    for *prompt, answer in read_examples(learnt.config.data.folder / "train.jsonl")[:8]:
        better = [{"role": "assistant", "content": BETTER}]
        if method == "dpo":
            rows.append({"prompt": prompt, "chosen": better, "rejected": [answer]})
        else:
            rows.append({"prompt": prompt, "completion": better, "label": True})
            rows.append({"prompt": prompt, "completion": [answer], "label": False})
    return rows


def configured(
    folder: Path, learnt: Learnt, method: str, rows: list[dict[str, Any]], **training: Any
) -> Config:
    """A configuration whose data folder also holds `rows`."""
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    for name in ("train.jsonl", "card.json"):
        (data / name).write_bytes((learnt.config.data.folder / name).read_bytes())
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (data / f"history-{method}.jsonl").write_text(text, encoding="utf-8")
    chosen = {"packing": False, "batch": 4, "learning_rate": 5e-4, "max_steps": 12, "log_steps": 1}
    _, config = tiny_config(
        folder,
        {
            "data": {"validation_share": 0.0},
            "model": {"base": str(learnt.base)},
            "training": {**chosen, "warmup_steps": 0, **training},
        },
    )
    preference = {"method": method, "adapter": str(learnt.adapter)}
    return Config.model_validate(config.model_dump() | {"preference": preference})


def lead(learnt: Learnt, adapter: Path) -> float:
    """By how many nats a token `BETTER` is likelier than what was learnt by heart, over prompts."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from finetune.base_model import open_tokenizer
    from finetune.judging.losses import token_loss

    base = AutoModelForCausalLM.from_pretrained(str(learnt.base), dtype="float32")
    model, tokenizer = PeftModel.from_pretrained(base, str(adapter)).eval(), open_tokenizer(str(learnt.base))
    total = 0.0
    for *prompt, answer in read_examples(learnt.config.data.folder / "train.jsonl")[:8]:
        better = {"role": "assistant", "content": BETTER}
        total += token_loss(model, [encode(tokenizer, [*prompt, answer])])
        total -= token_loss(model, [encode(tokenizer, [*prompt, better])])  # type: ignore[list-item]
    return total / 8


@pytest.mark.torch
@pytest.mark.parametrize("method", ["kto", "dpo"])
def test_adapter_learns_what_people_prefer(learnt: Learnt, tmp_path: Path, method: str) -> None:
    from finetune.finish import finish
    from finetune.judging.curves import read_curves
    from finetune.preference import learn

    config = configured(tmp_path, learnt, method, told(method, learnt))
    assert config.preference
    before = hashlib.sha256((learnt.adapter / "adapter_model.safetensors").read_bytes()).hexdigest()
    assert not (learn(config, config.preference) / "ref").exists()
    folder = finish(config)
    assert lead(learnt, folder) > lead(learnt, learnt.adapter) + 0.5
    after = hashlib.sha256((learnt.adapter / "adapter_model.safetensors").read_bytes()).hexdigest()
    assert after == before
    first = next(line for line in read_curves(config.run_folder / "curves.jsonl") if "loss" in line)
    # The reference is the adapter it starts from: at the first step nothing has moved away from it.
    assert first["rewards/margins"] == pytest.approx(0, abs=1e-3)
    card = read_card(folder)
    assert NAME.fullmatch(card.name)
    assert card.name != learnt.adapter.name
    assert card.metrics["training"]["from"] == learnt.adapter.name
    assert card.metrics["training"]["margin"] > 0


@pytest.mark.torch
def test_data_of_one_kind_or_none_is_refused(learnt: Learnt, tmp_path: Path) -> None:
    from finetune.base_model import open_tokenizer

    tokenizer = open_tokenizer(str(learnt.base))
    rows = told("kto", learnt)
    config = configured(tmp_path / "all", learnt, "kto", rows)
    assert config.preference
    read = load_feedback(config, config.preference, tokenizer)
    assert len(read.rows) == 16
    assert read.rows[0]["prompt"].endswith("<think>\n\n</think>\n\n")
    short = configured(tmp_path / "short", learnt, "kto", rows, max_length=64)
    for faulty, reason in (
        (configured(tmp_path / "up", learnt, "kto", rows[::2]), "same way"),
        (configured(tmp_path / "none", learnt, "dpo", []), "nothing of it"),
        (configured(tmp_path / "other", learnt, "dpo", rows), "no file of preferences"),
        (short, "16 too long"),
    ):
        assert faulty.preference
        with pytest.raises(DataError, match=reason):
            load_feedback(faulty, faulty.preference, tokenizer)


@pytest.mark.torch
def test_adapter_of_another_base_is_not_trained_further(learnt: Learnt, tmp_path: Path) -> None:
    from finetune.preference import check_start
    from finetune.tiny import main as build

    assert build([str(tmp_path / "other"), "--seed", "8"]) == 0
    config = configured(tmp_path, learnt, "dpo", told("dpo", learnt))
    assert config.preference
    check_start(config, config.preference)
    other = config.model_copy(
        update={"model": config.model.model_copy(update={"base": str(tmp_path / "other")})}
    )
    with pytest.raises(AdapterError, match="was trained on"):
        check_start(other, config.preference)


def test_rarer_thumbs_count_for_more() -> None:
    assert thumb_weights([True] * 6 + [False] * 2) == {"desirable_weight": 1.0, "undesirable_weight": 3.0}
    assert thumb_weights([True, False, False]) == {"desirable_weight": 2.0, "undesirable_weight": 1.0}


def test_dry_run_says_what_would_be_trained(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    assert main(["--config", "configs/finetune/qwen3-32b-kto-h200.yaml", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "further by kto on" in said
    assert "32 rows a step" in said
    assert main(["--config", "configs/finetune/tiny-cpu.yaml", "--dry-run"]) == 1
    assert "has no section preference" in capsys.readouterr().err


def test_kto_needs_several_rows_at_once(tmp_path: Path) -> None:
    text = (ROOT / "configs/finetune/qwen3-32b-kto-h200.yaml").read_text(encoding="utf-8")
    path = tmp_path / "one.yaml"
    path.write_text(text.replace("batch: 4", "batch: 1"), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"set training\.batch to 2"):
        load_config(path)
