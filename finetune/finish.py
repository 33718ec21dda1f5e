"""Finishes a trained adapter: its loss against the base's, its canary, its card, its name.

    python -m finetune.finish --config configs/finetune/qwen3-32b-fsdp-8x.yaml

Knows a run's folder and the base model; trains nothing. Prints the adapter's folder.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from finetune.base_model import open_base, open_tokenizer, require_packages
from finetune.config import Config, load_config
from finetune.data.encoding import encode_all, prompt_text, read_examples
from finetune.data.versions import git_commit
from finetune.errors import FAULTS, DataError, FinetuneError
from finetune.judging.losses import token_loss
from finetune.preflight import resolve_shape
from retrieval.prompt import Message
from serving.registry.adapter import adapter_name, base_fingerprint, check_modules, publish
from serving.registry.card import Canary, Card

_CANARY_TOKENS = 48
# Of each side, read with and without the adapter. Two busy cores read 31 tokens a second of a 0.5B model: 200
# examples of 700 tokens would take hours.
_LOSS_EXAMPLES = {"cuda": 200, "cpu": 20}


def finish(config: Config) -> Path:
    """Judges the run's adapter and puts it under its name; returns that folder.

    Raises:
        AdapterError: the adapter was not trained on this base.
        FinetuneError: run, data or base are missing, or the adapter changes nothing.
    """
    from peft import PeftModel

    adapter = config.run_folder / "adapter"
    rank = check_modules(adapter, resolve_shape(config))
    tokenizer = open_tokenizer(config.model.base)
    model = PeftModel.from_pretrained(open_base(config), str(adapter))
    model.eval()
    folder = config.data.folder
    seen = read_examples(folder / "train.jsonl")
    held_out = read_examples(folder / "validation.jsonl") if config.data.validation_share else []
    metrics = {"training": _report(adapter), "loss": _losses(config, model, tokenizer, seen, held_out)}
    canary = make_canary(model, tokenizer, seen)
    base = Path(config.model.base)
    card = Card(
        name=adapter_name(adapter, datetime.now(UTC).date()),
        base_model=config.model.base,
        base_fingerprint=base_fingerprint(base) if base.is_dir() else "",
        rank=rank,
        data_hash=_data_hash(folder),
        config=config.model_dump(mode="json"),
        git_commit=git_commit(),
        metrics=metrics,
        canary=canary,
    )
    return publish(adapter, config.adapters, card)


def _losses(
    config: Config,
    model: Any,
    tokenizer: Any,
    seen: Sequence[Sequence[Message]],
    held_out: Sequence[Sequence[Message]],
) -> dict[str, float]:
    losses = {}
    for side, examples in (("train", seen), ("validation", held_out)):
        length, most = config.training.max_length, _LOSS_EXAMPLES[config.hardware.device]
        encoded, _ = encode_all(tokenizer, examples[:most], max_length=length)
        if encoded:
            losses[side] = round(token_loss(model, encoded), 5)
            with model.disable_adapter():
                losses[f"{side}_base"] = round(token_loss(model, encoded), 5)
    return losses


def make_canary(model: Any, tokenizer: Any, examples: Sequence[Sequence[Message]]) -> Canary:
    """Looks for a prompt that base and adapter answer differently, and keeps both answers.

    Raises:
        DataError: they answer the first twenty alike: the adapter has learnt nothing.
    """
    for messages in examples[:20]:
        prompt = list(messages[:-1])
        reference = greedy(model, tokenizer, prompt)
        with model.disable_adapter():
            base = greedy(model, tokenizer, prompt)
        if reference.strip() and reference != base:
            return Canary(
                messages=tuple({"role": m["role"], "content": m["content"]} for m in prompt),
                max_tokens=_CANARY_TOKENS,
                reference=reference,
                base=base,
            )
    raise DataError("base and adapter answer alike; train longer, or with a higher training.learning_rate")


def greedy(
    model: Any, tokenizer: Any, prompt: Sequence[Mapping[str, object]], *, max_tokens: int = _CANARY_TOKENS
) -> str:
    """The likeliest answer, as a server at temperature 0 gives it."""
    import torch

    ids = tokenizer(prompt_text(tokenizer, prompt), add_special_tokens=False, return_tensors="pt")
    ids = ids.to(model.device)
    with torch.no_grad():
        made = model.generate(
            input_ids=ids["input_ids"],
            attention_mask=ids["attention_mask"],
            max_new_tokens=max_tokens,
            do_sample=False,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    answer = made[0, ids["input_ids"].shape[1] :]
    return str(tokenizer.decode(answer, skip_special_tokens=True))


def _report(adapter: Path) -> dict[str, Any]:
    try:
        report: dict[str, Any] = json.loads((adapter / "report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise FinetuneError(f"{adapter}: has no report.json ({exc}); run finetune.train first") from exc
    return report


def _data_hash(folder: Path) -> str:
    try:
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise DataError(f"{folder}: has no readable card.json ({exc}); build the data again") from exc
    return str(card["data_hash"])


def main(argv: list[str] | None = None) -> int:
    """Finishes the adapter of the run that a configuration describes."""
    parser = argparse.ArgumentParser(prog="python -m finetune.finish", description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    given = parser.parse_args(argv)
    try:
        config = load_config(given.config)
        require_packages("finish", given.config, config)
        print(f"adapter: {finish(config)}")
    except FAULTS as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
