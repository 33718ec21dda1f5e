"""Measures training speed and peak memory of a configuration on random weights of the model's exact shape.

    python -m finetune.measure --config configs/finetune/qwen3-32b-lora-h200.yaml [--steps 8] [--dry-run]

Needs no download: weights and tokens are random, which costs the same time and memory as real ones. Rows
are full and, with packing, hold several examples; a tenth of the tokens bear loss.
`--dry-run` prints what would be measured, with the memory estimate, and loads nothing. Knows no data.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from finetune.config import Config, load_config
from finetune.data.encoding import IGNORED, Encoded
from finetune.errors import FAULTS
from finetune.preflight import check, resolve_shape
from serving.registry.shape import Shape

_EXAMPLES_PER_ROW = 4
_LEARNT = 0.1
_WARM_UP = 2


def measured_config(config: Config, *, steps: int, folder: Path) -> Config:
    """The same training on random weights for a few steps, without evaluation or checkpoints."""
    total = steps + _WARM_UP
    changed = {"max_steps": total, "save_steps": 10 * total, "eval_steps": 10 * total, "log_steps": 1}
    return config.model_copy(
        update={
            "runs": folder,
            "data": config.data.model_copy(update={"validation_share": 0.0}),
            "model": config.model.model_copy(update={"random_weights": True}),
            "training": config.training.model_copy(update={**changed, "patience": 0}),
        }
    )


def random_rows(config: Config, shape: Shape) -> list[Encoded]:
    """Random examples that fill every row of every step exactly."""
    import random

    chance = random.Random(config.training.seed)
    wanted = config.training
    pieces = _EXAMPLES_PER_ROW if wanted.packing else 1
    length = wanted.max_length // pieces
    rows = (wanted.max_steps or 1) * wanted.batch * wanted.accumulation * config.hardware.devices
    made = []
    for _ in range(rows * pieces):
        ids = [chance.randrange(shape.vocabulary) for _ in range(length)]
        start = round(length * (1 - _LEARNT))
        made.append(Encoded(ids, [IGNORED] * start + ids[start:]))
    return made


def measure(config: Config) -> dict[str, Any]:
    """Trains on random rows; returns speed (tokens a second after the first steps) and peak memory."""
    import torch
    from peft import LoraConfig
    from trl import SFTTrainer

    from finetune.base_model import open_base, require_device
    from finetune.judging.curves import Curves, read_curves
    from finetune.train import as_dataset, trainer_arguments

    require_device(config)
    arguments = trainer_arguments(config)
    shape = resolve_shape(config)
    curves = config.run_folder / "curves.jsonl"
    trainer = SFTTrainer(
        model=open_base(config),
        args=arguments,
        train_dataset=as_dataset(random_rows(config, shape)),
        processing_class=_Nothing.tokenizer(shape.vocabulary),
        peft_config=LoraConfig(
            r=config.lora.rank, lora_alpha=config.lora.alpha, lora_dropout=config.lora.dropout,
            target_modules=list(config.lora.targets), task_type="CAUSAL_LM",
        ),
        callbacks=[Curves(curves)],
    )  # fmt: skip
    trainer.train()
    steps = [line for line in read_curves(curves) if "loss" in line]
    first, last = steps[_WARM_UP - 1], steps[-1]
    seconds = last["seconds"] - first["seconds"]
    tokens = last["num_tokens"] - first["num_tokens"]
    peak = torch.cuda.max_memory_allocated() / 1e9 if torch.cuda.is_available() else None
    return {
        "device": torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu",
        "steps": len(steps) - _WARM_UP,
        "tokens_per_step": tokens / max(1, len(steps) - _WARM_UP),
        "tokens_per_second": round(tokens / seconds, 1) if seconds else None,
        "peak_memory_gb": peak,
    }


class _Nothing:
    """A tokenizer of the right size without words: the trainer asks it for its padding alone."""

    @staticmethod
    def tokenizer(vocabulary: int) -> Any:
        from tokenizers import Tokenizer, models
        from transformers import PreTrainedTokenizerFast

        words = {"<|endoftext|>": 0, "<|im_end|>": min(1, vocabulary - 1)}
        return PreTrainedTokenizerFast(
            tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="<|endoftext|>")),
            eos_token="<|im_end|>",
            pad_token="<|endoftext|>",
        )


def main(argv: list[str] | None = None) -> int:
    """Measures, or says what would be measured; prints JSON on standard output."""
    parser = argparse.ArgumentParser(prog="python -m finetune.measure", description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--dry-run", action="store_true")
    given = parser.parse_args(argv)
    try:
        with tempfile.TemporaryDirectory() as folder:
            config = measured_config(load_config(given.config), steps=given.steps, folder=Path(folder))
            estimate = check(config)
            print(estimate.table(), file=sys.stderr)
            plan = {
                "config": config.name,
                "parameters": estimate.parameters,
                "rows_per_step": config.training.batch * config.training.accumulation,
                "row_tokens": config.training.max_length,
                "estimated_memory_gb": round(estimate.needed / 1e9, 2),
            }
            print(json.dumps(plan if given.dry_run else {**plan, **measure(config)}, indent=1))
    except FAULTS as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
