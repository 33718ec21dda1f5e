"""An adapter's card: where it comes from, how good it is, and a prompt that tells whether it is in effect.

    var/adapters/faq-20261122-1a2b3c4d/
        adapter_config.json, adapter_model.safetensors    as peft writes them
        card.json                                         this

Training writes it, serving checks against it, the evaluation adds its verdict. Knows one file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from serving.registry.errors import AdapterError


@dataclass(frozen=True, slots=True)
class Canary:
    """A prompt whose greedy answers tell whether the adapter is in effect.

    Attributes:
        messages: the prompt, to be sent with `chat_template_kwargs: {enable_thinking: false}`.
        max_tokens: how long the answers are, in tokens.
        reference: what base and adapter together answered at the end of training.
        base: what the base model answered alone.
    """

    messages: tuple[Mapping[str, str], ...]
    max_tokens: int
    reference: str
    base: str


@dataclass(frozen=True, slots=True)
class Card:
    """`card.json`.

    Attributes:
        name: `faq-YYYYMMDD-<first 8 hex digits of the files' sha256>`, never used again.
        base_model: the base as the configuration of the training names it.
        base_fingerprint: of the base's shape and weights; empty where it was no folder.
        rank: of the adapter, for `--max-lora-rank`.
        canary: see `Canary`.
        data_hash: sha256 of the training data.
        config: the whole configuration of the run.
        git_commit: of the code, empty where it was no checkout; `-dirty` where it had changes.
        metrics: of training, and of each evaluation.
    """

    name: str
    base_model: str
    base_fingerprint: str
    rank: int
    canary: Canary
    data_hash: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    git_commit: str = ""
    metrics: Mapping[str, Any] = field(default_factory=dict)


def read_card(folder: Path) -> Card:
    """Reads `card.json`; keys that a later version adds are left out.

    Raises:
        AdapterError: there is none, or it cannot be used.
    """
    try:
        raw = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        canary = raw["canary"]
        return Card(
            name=str(raw["name"]),
            base_model=str(raw["base_model"]),
            base_fingerprint=str(raw["base_fingerprint"]),
            rank=int(raw["rank"]),
            canary=Canary(
                messages=tuple(dict(message) for message in canary["messages"]),
                max_tokens=int(canary["max_tokens"]),
                reference=str(canary["reference"]),
                base=str(canary["base"]),
            ),
            data_hash=str(raw.get("data_hash", "")),
            config=dict(raw.get("config", {})),
            git_commit=str(raw.get("git_commit", "")),
            metrics=dict(raw.get("metrics", {})),
        )
    except OSError as exc:
        raise AdapterError(folder.name, f"{folder} has no readable card.json ({exc.strerror})") from exc
    except (ValueError, KeyError, TypeError) as exc:
        raise AdapterError(folder.name, f"its card.json cannot be used ({exc!r})") from exc


def write_card(folder: Path, card: Card) -> None:
    """Writes `card.json`; a reader sees the old card or the new one, never half of one."""
    fresh = folder / "card.json.new"
    fresh.write_text(json.dumps(asdict(card), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    fresh.replace(folder / "card.json")
