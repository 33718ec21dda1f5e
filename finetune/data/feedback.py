"""Training data out of what people said of answers: corrections for SFT, thumbs for KTO, pairs for DPO.

Reads what `smartstore history export --out turns.jsonl` wrote (personal data is masked there). Turns whose
FAQs are held out for validation are left out. Knows the exported fields; no database.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finetune.data.overlap import normalise
from finetune.errors import DataError

Row = dict[str, Any]


@dataclass
class Feedback:
    """Rows as TRL takes them (https://huggingface.co/docs/trl/dataset_formats), conversational.

    Attributes:
        sft: `{"messages"}`: a question and the answer that somebody wrote because of it.
        kto: `{"prompt", "completion", "label"}`: answers with a thumb up or down.
        dpo: `{"prompt", "chosen", "rejected"}`: two answers to one question, of which one was better.
        dropped: how many turns were left out, by reason.
    """

    sft: list[Row] = field(default_factory=list)
    kto: list[Row] = field(default_factory=list)
    dpo: list[Row] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)


def read_feedback(path: Path, *, validation: Set[str], system: str) -> Feedback:
    """Makes the rows.

    Args:
        path: the exported turns.
        validation: ids of FAQs that training must not see.
        system: the system prompt that the model meets at run time.

    Raises:
        DataError: the file cannot be read.
    """
    found = Feedback()
    good: dict[str, list[tuple[str, str]]] = defaultdict(list)
    bad: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for row in _rows(path):
        question, answer = row["standalone"], row["answer"]
        if {source["faq_id"] for source in row["sources"]} & validation:
            found.dropped["validation"] += 1
            continue
        key = normalise(question)
        if row["correction"]:
            better = row["correction"]["answer"]
            found.sft.append({"messages": [*_prompt(system, question), _said(better)], "kind": "correction"})
            good[key].append((question, better))
        if row["rating"] in ("up", "down") and answer:
            label = row["rating"] == "up"
            found.kto.append(
                {"prompt": _prompt(system, question), "completion": [_said(answer)], "label": label}
            )
            (good if label else bad)[key].append((question, answer))
        elif not row["correction"]:
            found.dropped["no word on it"] += 1
    for key in good.keys() & bad.keys():
        # The newest of each: the export is newest first.
        (question, better), (_, worse) = good[key][0], bad[key][0]
        if better != worse:
            row = {"prompt": _prompt(system, question), "chosen": [_said(better)], "rejected": [_said(worse)]}
            found.dpo.append(row)
    found.dpo.sort(key=lambda row: str(row["prompt"]))
    return found


def write_feedback(found: Feedback, folder: Path) -> dict[str, int]:
    """Writes `history-sft.jsonl`, `-kto` and `-dpo`; returns how many rows each has."""
    folder.mkdir(parents=True, exist_ok=True)
    kinds = {"sft": found.sft, "kto": found.kto, "dpo": found.dpo}
    for name, rows in kinds.items():
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"history-{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    return {name: len(rows) for name, rows in kinds.items()}


def _rows(path: Path) -> Iterator[Row]:
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                row = json.loads(line)
                missing = {"standalone", "answer", "rating", "sources", "correction"} - set(row)
                if missing:
                    raise DataError(f"{path}: line {number} lacks {', '.join(sorted(missing))}")
                yield row
    except (OSError, ValueError, TypeError) as exc:
        raise DataError(
            f"{path}: cannot be read ({exc!r}); write it with `smartstore history export`"
        ) from exc


def _prompt(system: str, question: str) -> list[Row]:
    return [{"role": "system", "content": system}, {"role": "user", "content": question}]


def _said(answer: str) -> Row:
    return {"role": "assistant", "content": answer}
