"""Compares base, adapter in service and candidate on the same cases; writes the verdict into the card.

    python -m finetune.evaluate --adapter var/adapters/faq-… --cases DIR \\
        --base vllm-base --current vllm --candidate vllm-candidate \\
        [--config configs/finetune/….yaml [--current-adapter var/adapters/faq-…]]

`--base`, `--current` and `--candidate` name providers of the settings (configs/evaluate.yaml has them), which
`smartstore eval` measures; the candidate's model is the adapter itself. With `--config`, the validation loss
of all three is measured too, which loads the base model. Without `--current` (nothing is in service yet) the
candidate is judged against the base.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from finetune.base_model import open_base, open_tokenizer, require_packages
from finetune.config import Config, load_config
from finetune.data.encoding import encode_all, read_examples
from finetune.errors import FAULTS
from finetune.judging.evaluation import case_files, measure
from finetune.judging.losses import token_loss
from finetune.judging.verdict import Measures, judge
from finetune.preflight import resolve_shape
from retrieval.training.metrics import mean
from serving.registry.adapter import check_modules
from serving.registry.card import read_card, write_card


def evaluate(
    providers: Mapping[str, str],
    files: Sequence[Path],
    losses: Mapping[str, Sequence[float]],
    *,
    adapter: str = "",
    limit: int | None = None,
) -> dict[str, Any]:
    """Measures every contender on the cases and judges the candidate.

    Args:
        providers: of `base`, `current` (if any) and `candidate`.
        files: of cases.
        losses: validation loss by contender, one value per example; may be empty.
        adapter: the candidate's name, as its server knows it; empty: the model that the settings name.
        limit: at most so many cases of each file.

    Raises:
        ServiceError: a provider failed, or another one answered in its place.
    """
    values: dict[str, dict[str, list[float]]] = {}
    report: dict[str, Any] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cases": [file.name for file in files],
    }
    for name, provider in providers.items():
        measured = measure(provider, files, model=adapter if name == "candidate" else "", limit=limit)
        values[name] = dict(measured.values)
        if name in losses:
            values[name]["loss"] = [-loss for loss in losses[name]]
        report[name] = {
            "provider": provider,
            **{measure: round(mean(found), 5) for measure, found in measured.values.items()},
            "turn_ms_p50": {file: round(ms, 1) for file, ms in measured.turn_ms.items()},
        }
        if name in losses:
            report[name]["loss"] = round(mean(losses[name]), 5)
    rival = "current" if "current" in providers else "base"
    report["against"] = rival
    report["judgement"] = judge(*_paired(values[rival], values["candidate"]))
    return report


def _paired(rival: Measures, candidate: Measures) -> tuple[Measures, Measures]:
    """The measures that both have (a loss may be known of one alone)."""
    both = [name for name in candidate if name in rival]
    return {name: rival[name] for name in both}, {name: candidate[name] for name in both}


def validation_losses(config: Config, candidate: Path, current: Path | None) -> dict[str, list[float]]:
    """Loss of each validation example, by contender, in nats per learnt token.

    Raises:
        AdapterError: an adapter does not fit the base.
        FinetuneError: base or data cannot be loaded.
    """
    from peft import PeftModel

    shape = resolve_shape(config)
    folders = {"candidate": candidate, **({"current": current} if current else {})}
    for folder in folders.values():
        check_modules(folder, shape)
    tokenizer = open_tokenizer(config.model.base)
    examples = read_examples(config.data.folder / "validation.jsonl")
    encoded, _ = encode_all(tokenizer, examples, max_length=config.training.max_length)
    model = PeftModel.from_pretrained(open_base(config), str(candidate), adapter_name="candidate")
    losses: dict[str, list[float]] = {}
    for name, folder in folders.items():
        if name != "candidate":
            model.load_adapter(str(folder), adapter_name=name)
        model.set_adapter(name)
        losses[name] = [token_loss(model, [example]) for example in encoded]
    with model.disable_adapter():
        losses["base"] = [token_loss(model, [example]) for example in encoded]
    return losses


def main(argv: list[str] | None = None) -> int:
    """Evaluates what the command line names; prints the verdict."""
    parser = argparse.ArgumentParser(prog="python -m finetune.evaluate", description=__doc__)
    parser.add_argument("--adapter", type=Path, required=True)
    parser.add_argument("--cases", type=Path, required=True)
    parser.add_argument("--base", required=True)
    parser.add_argument("--current", default="")
    parser.add_argument("--candidate", required=True)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--current-adapter", type=Path)
    parser.add_argument("--limit", type=int, help="at most so many cases of each file")
    given = parser.parse_args(argv)
    providers = {"base": given.base, "current": given.current, "candidate": given.candidate}
    try:
        card = read_card(given.adapter)
        files = case_files(given.cases)
        losses = {}
        if given.config is not None:
            require_packages("evaluate", given.config)
            losses = validation_losses(load_config(given.config), given.adapter, given.current_adapter)
        chosen = {name: provider for name, provider in providers.items() if provider}
        report = evaluate(chosen, files, losses, adapter=card.name, limit=given.limit)
    except FAULTS as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    card = replace(card, metrics={**card.metrics, "evaluation": report})
    write_card(given.adapter, card)
    for name in chosen:
        print(f"{name}: {report[name]}")
    judgement = report["judgement"]
    print(f"{judgement['verdict']} {card.name} ({judgement['reason']})")
    for name, interval in judgement["differences"].items():
        print(f"  {name}: {interval['mean']:+.4f} [{interval['low']:+.4f}, {interval['high']:+.4f}]")
    return 0


if __name__ == "__main__":
    sys.exit(main())
