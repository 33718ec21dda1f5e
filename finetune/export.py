"""Merges an adapter into its base, for engines that serve no LoRA.

    python -m finetune.export --adapter var/adapters/faq-… --base DIR --out DIR

The merged model must answer the adapter's canary as base and adapter together did, or nothing is left.
Knows the adapter's folder and the base; knows no serving.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import Literal

from finetune.base_model import open_tokenizer
from finetune.errors import FAULTS, FinetuneError
from finetune.finish import greedy
from serving.registry.adapter import check_base, check_modules
from serving.registry.card import read_card, write_card
from serving.registry.shape import read_shape


def export(
    adapter: Path, base: Path, out: Path, *, dtype: Literal["bfloat16", "float32"] = "bfloat16"
) -> Path:
    """Writes the merged model, its tokenizer and the adapter's card to `out`.

    Args:
        adapter: a finished adapter's folder.
        base: the base model's folder.
        out: must not exist yet.
        dtype: of the merged weights.

    Raises:
        AdapterError: the adapter was trained on another base.
        FinetuneError: a folder cannot be used, or the merged model answers otherwise.
    """
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    if out.exists():
        raise FinetuneError(f"{out} exists already; name a new folder")
    card = read_card(adapter)
    check_modules(adapter, read_shape(base), rank=card.rank)
    check_base(card, base)
    tokenizer = open_tokenizer(str(base))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = AutoModelForCausalLM.from_pretrained(str(base), dtype=getattr(torch, dtype), device_map=device)
    merged = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload(safe_merge=True)
    canary = card.canary
    answer = greedy(merged.eval(), tokenizer, canary.messages, max_tokens=canary.max_tokens)
    if not agrees(answer, canary.reference):
        raise FinetuneError(
            f"{card.name}: the merged model answers {answer[:80]!r}, "
            f"the adapter {canary.reference[:80]!r}; try --dtype float32"
        )
    staged = out.with_name(f".{out.name}")
    shutil.rmtree(staged, ignore_errors=True)
    merged.save_pretrained(str(staged))
    tokenizer.save_pretrained(str(staged))
    write_card(staged, card)
    staged.rename(out)
    return out


def agrees(answer: str, reference: str, *, share: float = 0.5) -> bool:
    """Whether two greedy answers begin alike for `share` of the reference.

    Other precisions and kernels may part at a near tie, and all that follows then differs; a model
    without the adapter parts at once.
    """
    common = 0
    for a, b in zip(answer, reference, strict=False):
        if a != b:
            break
        common += 1
    return common >= share * len(reference)


def main(argv: list[str] | None = None) -> int:
    """Merges what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m finetune.export", description=__doc__)
    parser.add_argument("--adapter", type=Path, required=True)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    given = parser.parse_args(argv)
    try:
        print(f"merged model: {export(given.adapter, given.base, given.out, dtype=given.dtype)}")
    except FAULTS as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
