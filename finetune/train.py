"""Trains a LoRA adapter: load, data, train, save, report.

    python -m finetune.train --config configs/finetune/tiny-cpu.yaml [--resume] [--dry-run]

A run that was killed goes on from its last checkpoint with `--resume`. Knows the trainer; what becomes of
the adapter (loss, canary, card, name) is done in `finish.py`, a process of its own: it opens the base again,
and the trainer's model, gradients and optimizer states must be gone by then.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from finetune.base_model import (
    device_memory,
    open_base,
    open_tokenizer,
    require_device,
    require_packages,
)
from finetune.config import Config, load_config
from finetune.data.encoding import Encoded, encode_all, fill_share, read_examples
from finetune.errors import FAULTS, DataError
from finetune.preflight import check


def train(config: Config, *, resume: bool = False) -> Path:
    """Runs the training; returns the folder with the adapter and `report.json`.

    Raises:
        CannotFit: before any weights are loaded.
        FinetuneError: the base or the data cannot be used.
    """
    from peft import LoraConfig
    from trl import SFTTrainer

    print(check(config, memory=device_memory(config)).table(), file=sys.stderr)
    require_device(config)

    arguments = trainer_arguments(config)
    tokenizer = open_tokenizer(config.model.base)
    rows, too_long = load_rows(config, tokenizer)
    model = open_base(config)

    trainer = SFTTrainer(
        model=model,
        args=arguments,
        train_dataset=as_dataset(rows["train"]),
        eval_dataset=as_dataset(rows["validation"]) if rows["validation"] else None,
        processing_class=tokenizer,
        peft_config=LoraConfig(
            r=config.lora.rank,
            lora_alpha=config.lora.alpha,
            lora_dropout=config.lora.dropout,
            target_modules=list(config.lora.targets),
            task_type="CAUSAL_LM",
        ),
        callbacks=callbacks(config, validated=bool(rows["validation"])),
    )

    checkpoint = last_checkpoint(config) if resume else None
    outcome = trainer.train(resume_from_checkpoint=checkpoint)

    adapter = config.run_folder / "adapter"
    trainer.save_model(str(adapter))
    if trainer.is_world_process_zero():
        report = make_report(trainer, outcome.metrics, rows, too_long)
        (adapter / "report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return adapter


def trainer_arguments(config: Config) -> Any:
    """The trainer's arguments; with FSDP they must exist before the weights are loaded."""
    from trl import SFTConfig

    wanted, validated = config.training, config.data.validation_share > 0
    return SFTConfig(
        packing=wanted.packing,
        packing_strategy="bfd",
        eval_packing=False,
        per_device_eval_batch_size=1,
        eval_strategy="steps" if validated else "no",
        eval_steps=wanted.eval_steps,
        save_steps=wanted.save_steps,
        save_total_limit=2,
        load_best_model_at_end=validated and wanted.patience > 0,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        **optimisation(config),
        **_sharding(config),
    )


def optimisation(config: Config) -> dict[str, Any]:
    """What every trainer here is told alike."""
    wanted, on_cpu = config.training, config.hardware.device == "cpu"
    return {
        "output_dir": str(config.run_folder / "checkpoints"),
        "max_length": wanted.max_length,
        "per_device_train_batch_size": wanted.batch,
        "gradient_accumulation_steps": wanted.accumulation,
        "num_train_epochs": wanted.epochs,
        "max_steps": wanted.max_steps or -1,
        "learning_rate": wanted.learning_rate,
        "lr_scheduler_type": wanted.scheduler,
        "warmup_steps": wanted.warmup_steps,
        "weight_decay": wanted.weight_decay,
        "max_grad_norm": wanted.max_grad_norm,
        "optim": wanted.optimizer,
        "gradient_checkpointing": wanted.gradient_checkpointing and not config.hardware.fsdp,
        "bf16": config.model.dtype == "bfloat16",
        "use_cpu": on_cpu,
        "dataloader_pin_memory": not on_cpu,
        "logging_steps": wanted.log_steps,
        "seed": wanted.seed,
        "data_seed": wanted.seed,
        "report_to": ["tensorboard"] if wanted.tensorboard else [],
        "disable_tqdm": True,
    }


def _sharding(config: Config) -> dict[str, Any]:
    """FSDP2 over transformer layers; its own activation checkpointing spares a second gathering."""
    if not config.hardware.fsdp:
        return {}
    sharding = {
        "version": 2,
        "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
        "activation_checkpointing": config.training.gradient_checkpointing,
        "cpu_ram_efficient_loading": config.hardware.device == "cuda",
        "state_dict_type": "FULL_STATE_DICT",
    }
    return {"fsdp": True, "fsdp_config": sharding}


def plan(config: Config) -> str:
    """What a run would do, in words; reads at most the number of examples."""
    file = config.data.folder / "train.jsonl"
    examples = file.read_text(encoding="utf-8").count("\n") if file.is_file() else None
    data = (
        f"{examples} examples of {file}" if examples else f"{file}, which `finetune.dataset` has yet to make"
    )
    per_step = config.training.batch * config.training.accumulation * config.hardware.devices
    return (
        f"would train {config.model.base} on {data}, {config.training.epochs:g} epochs, {per_step} rows of "
        f"{config.training.max_length} tokens a step, into {config.adapters}"
    )


def load_rows(config: Config, tokenizer: Any) -> tuple[dict[str, list[Encoded]], int]:
    """Encodes both sides; returns them and how many examples were too long.

    Raises:
        DataError: training data is missing or nothing of it fits into `max_length`.
    """
    rows: dict[str, list[Encoded]] = {"validation": []}
    too_long = 0
    for side in ("train", "validation"):
        if side == "validation" and not config.data.validation_share:
            continue
        examples = read_examples(config.data.folder / f"{side}.jsonl")
        rows[side], left_out = encode_all(tokenizer, examples, max_length=config.training.max_length)
        too_long += left_out
    if not rows["train"]:
        raise DataError(f"no example fits training.max_length {config.training.max_length}; raise it")
    return rows, too_long


def as_dataset(rows: Sequence[Encoded]) -> Any:
    """Encoded examples as a dataset; labels are given, so the loss is on the answers alone."""
    from datasets import Dataset

    return Dataset.from_dict(
        {"input_ids": [row.input_ids for row in rows], "labels": [row.labels for row in rows]}
    )


def callbacks(config: Config, *, validated: bool) -> list[Any]:
    """Curves, and early stopping where it is wanted and can be judged."""
    from transformers import EarlyStoppingCallback

    from finetune.judging.curves import Curves

    chosen: list[Any] = [Curves(config.run_folder / "curves.jsonl")]
    if config.training.patience and validated:
        chosen.append(EarlyStoppingCallback(early_stopping_patience=config.training.patience))
    return chosen


def last_checkpoint(config: Config) -> str | None:
    """The newest checkpoint of the run, None where there is none yet."""
    from transformers.trainer_utils import get_last_checkpoint

    folder = config.run_folder / "checkpoints"
    return get_last_checkpoint(str(folder)) if folder.is_dir() else None


def make_report(
    trainer: Any, metrics: dict[str, float], rows: dict[str, list[Encoded]], too_long: int
) -> dict[str, Any]:
    """What the run did: steps, tokens, speed, memory, and how full the packed rows were."""
    import torch

    lengths = [len(row.input_ids) for row in rows["train"]]
    packed = len(trainer.train_dataset)
    tokens = trainer.state.log_history[-1].get("num_tokens") or trainer._total_train_tokens
    seconds = metrics["train_runtime"]
    return {
        "steps": trainer.state.global_step,
        "train_loss": metrics["train_loss"],
        "best_eval_loss": trainer.state.best_metric,
        "examples": {side: len(encoded) for side, encoded in rows.items()},
        "too_long": too_long,
        "rows": packed,
        "filled": fill_share(lengths, packed, trainer.args.max_length) if trainer.args.packing else None,
        "tokens": int(tokens),
        "seconds": round(seconds, 1),
        "tokens_per_second": round(tokens / seconds, 1) if seconds else None,
        "peak_memory_gb": torch.cuda.max_memory_allocated() / 1e9 if torch.cuda.is_available() else None,
    }


def become_finish(config: Path) -> NoReturn:
    """This process becomes the one that judges, names and registers the adapter."""
    sys.stdout.flush()
    # A trainer is full of cycles: only the end of its process surely frees the base (65 GB of a 32B model).
    os.execv(sys.executable, [sys.executable, "-m", "finetune.finish", "--config", str(config)])


def main(argv: list[str] | None = None) -> int:
    """Trains, then becomes the process that finishes the adapter, where one device holds the whole model."""
    parser = argparse.ArgumentParser(prog="python -m finetune.train", description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    parser.add_argument("--dry-run", action="store_true", help="print the memory estimate and the plan")
    given = parser.parse_args(argv)
    try:
        config = load_config(given.config)
        if given.dry_run:
            print(check(config).table())
            print(plan(config))
            return 0
        require_packages("train", given.config, config)
        adapter = train(config, resume=given.resume)
        if config.hardware.fsdp:
            print(f"adapter in {adapter}; now run: python -m finetune.finish --config {given.config}")
            return 0
    except FAULTS as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    become_finish(given.config)


if __name__ == "__main__":
    sys.exit(main())
