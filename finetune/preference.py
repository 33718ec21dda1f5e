"""Trains an adapter further on what people said of its answers: load, data, train, save, report.

    python -m finetune.preference --config configs/finetune/qwen3-32b-kto-h200.yaml [--dry-run]

KTO learns from single thumbs (Ethayarajh et al. 2024, arXiv:2402.01306), DPO from a better and a worse answer
to one question (Rafailov et al. 2023, arXiv:2305.18290). `finetune.dataset --history` wrote the data. The
adapter in `preference.adapter` is where training starts and what it must not stray from; its files stay as
they are. As after `finetune.train`, `finish.py` judges, names and registers the new one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune.base_model import device_memory, open_base, open_tokenizer, require_device, require_packages
from finetune.config import Config, Preference, load_config
from finetune.data.encoding import prompt_text
from finetune.errors import FAULTS, ConfigError, DataError
from finetune.preflight import check, resolve_shape
from finetune.train import become_finish, optimisation
from serving.registry.adapter import check_base, check_modules
from serving.registry.card import read_card


def learn(config: Config, preference: Preference) -> Path:
    """Runs the training; returns the folder with the adapter and `report.json`.

    Raises:
        AdapterError: the adapter to start from is missing, or of another base.
        CannotFit: before any weights are loaded.
        FinetuneError: the base or the data cannot be used.
    """
    from peft import PeftModel

    print(check(config, memory=device_memory(config)).table(), file=sys.stderr)
    require_device(config)

    check_start(config, preference)
    tokenizer = open_tokenizer(config.model.base)
    data = load_feedback(config, preference, tokenizer)
    model = PeftModel.from_pretrained(open_base(config), str(preference.adapter), is_trainable=True)

    trainer = make_trainer(config, preference, model, tokenizer, data)
    outcome = trainer.train()

    adapter = config.run_folder / "adapter"
    # The trainer keeps the adapter it started from as a second one, the reference.
    model.save_pretrained(str(adapter), selected_adapters=["default"])
    report = make_report(preference, trainer, outcome.metrics, data)
    (adapter / "report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return adapter


def check_start(config: Config, preference: Preference) -> None:
    """Raises `AdapterError` where the adapter to start from does not belong to the base."""
    card, base = read_card(preference.adapter), Path(config.model.base)
    check_modules(preference.adapter, resolve_shape(config), rank=card.rank)
    if base.is_dir():
        check_base(card, base)


@dataclass(frozen=True)
class Feedback:
    """What the trainer reads, as texts (https://huggingface.co/docs/trl/dataset_formats).

    Attributes:
        rows: `prompt` and `completion` with a `label`, or `prompt`, `chosen` and `rejected`.
        too_long: how many did not fit into `training.max_length`.
        sha256: of the file.
    """

    rows: list[dict[str, Any]]
    too_long: int
    sha256: str


def load_feedback(config: Config, preference: Preference, tokenizer: Any) -> Feedback:
    """Reads the file of the method; prompts are rendered as a server renders them, answers stay texts.

    Raises:
        DataError: it is missing or empty, or holds thumbs of one kind alone.
    """
    file = config.data.folder / f"history-{preference.method}.jsonl"
    answers = ("completion",) if preference.method == "kto" else ("chosen", "rejected")
    hint = "make it with `python -m finetune.dataset --config … --history turns.jsonl`"
    rows, too_long = list[dict[str, Any]](), 0
    try:
        text = file.read_text(encoding="utf-8")
        for line in map(json.loads, text.splitlines()):
            row = {"prompt": prompt_text(tokenizer, line["prompt"])}
            row |= {name: line[name][0]["content"] for name in answers}
            longest = max(len(tokenizer.encode(row["prompt"] + row[name])) for name in answers)
            if longest >= config.training.max_length:
                too_long += 1
                continue
            rows.append(row | ({"label": bool(line["label"])} if preference.method == "kto" else {}))
    except OSError as exc:
        raise DataError(f"{file}: cannot be read ({exc.strerror}); {hint}") from exc
    except (ValueError, KeyError, IndexError, TypeError) as exc:
        raise DataError(f"{file}: is no file of preferences ({exc!r}); {hint}") from exc
    if not rows:
        raise DataError(f"{file}: nothing of it can be learnt ({too_long} too long for training.max_length)")
    if preference.method == "kto" and len({row["label"] for row in rows}) < 2:
        raise DataError(f"{file}: all thumbs point the same way; KTO learns from both")
    # KTO reads the rows in the order given: the export's, by time, would put alike ones into one batch.
    random.Random(config.training.seed).shuffle(rows)
    return Feedback(rows, too_long, hashlib.sha256(text.encode()).hexdigest())


def make_trainer(config: Config, preference: Preference, model: Any, tokenizer: Any, data: Feedback) -> Any:
    """The trainer of the method. It compares with a frozen copy of the adapter that `model` came with."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer

    from finetune.judging.curves import Curves

    chosen = {"beta": preference.beta, "save_strategy": "no", **optimisation(config)}
    parts = {
        "model": model,
        "train_dataset": Dataset.from_list(data.rows),
        "processing_class": tokenizer,
        "callbacks": [Curves(config.run_folder / "curves.jsonl")],
    }
    if preference.method == "dpo":
        return DPOTrainer(args=DPOConfig(**chosen), **parts)
    weights = thumb_weights([row["label"] for row in data.rows])
    return KTOTrainer(args=KTOConfig(**weights, **chosen), **parts)


def thumb_weights(labels: Sequence[bool]) -> dict[str, float]:
    """Weights by which both kinds of thumbs count alike in all: the rarer kind counts for more (eq. 8)."""
    up = sum(labels)
    down = len(labels) - up
    return {"desirable_weight": max(1.0, down / up), "undesirable_weight": max(1.0, up / down)}


def make_report(
    preference: Preference, trainer: Any, metrics: dict[str, float], data: Feedback
) -> dict[str, Any]:
    """What the run did; `margin` is how much likelier better answers became than worse, in nats x beta."""
    margins = [line["rewards/margins"] for line in trainer.state.log_history if "rewards/margins" in line]
    return {
        "method": preference.method,
        "from": preference.adapter.name,
        "steps": trainer.state.global_step,
        "train_loss": metrics["train_loss"],
        "margin": margins[-1] if margins else None,
        "examples": len(data.rows),
        "too_long": data.too_long,
        "data_sha256": data.sha256,
        "seconds": round(metrics["train_runtime"], 1),
    }


def plan(config: Config, preference: Preference) -> str:
    """What a run would do, in words."""
    file = config.data.folder / f"history-{preference.method}.jsonl"
    rows = file.read_text(encoding="utf-8").count("\n") if file.is_file() else 0
    data = f"{rows} rows of {file}" if rows else f"{file}, which `finetune.dataset --history` has yet to make"
    per_step = config.training.batch * config.training.accumulation
    return (
        f"would train {preference.adapter} on {config.model.base} further by {preference.method} on {data}, "
        f"{config.training.epochs:g} epochs, {per_step} rows a step, into {config.adapters}"
    )


def main(argv: list[str] | None = None) -> int:
    """Trains, then becomes the process that finishes the adapter."""
    parser = argparse.ArgumentParser(prog="python -m finetune.preference", description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--dry-run", action="store_true", help="print the memory estimate and the plan")
    given = parser.parse_args(argv)
    try:
        config = load_config(given.config)
        if config.preference is None:
            raise ConfigError(given.config, "has no section preference (method, adapter)")
        if given.dry_run:
            print(check(config).table())
            print(plan(config, config.preference))
            return 0
        require_packages("preference", given.config, config)
        learn(config, config.preference)
    except FAULTS as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    become_finish(given.config)


if __name__ == "__main__":
    sys.exit(main())
