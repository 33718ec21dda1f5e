"""Training data out of what people said of answers: corrections for SFT, thumbs for KTO, pairs for DPO.

Reads what `smartstore history export --out turns.jsonl` wrote (personal data is masked there). Left out are
turns whose FAQs are held out for validation or are there no longer, and thumbs on fixed answers, which no
model wrote. Knows the exported fields; no database.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finetune.data.overlap import normalise
from finetune.errors import DataError
from retrieval.corpus.faq import Faq, faq_id
from retrieval.prompt import Message, Passage, ground
from retrieval.quoting.compose import compose
from retrieval.tokenizer import KoreanTokenizer

Row = dict[str, Any]
Key = tuple[str, ...]


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


def read_feedback(
    path: Path, *, faqs: Mapping[str, Faq], validation: Set[str], system: str, tokenizer: KoreanTokenizer
) -> Feedback:
    """Makes the rows; every prompt holds the passages of its turn, in their order, as at run time.

    Args:
        path: the exported turns, newest first.
        faqs: the corpus, by id.
        validation: ids of FAQs that training must not see.
        system: the system prompt that the model meets at run time.
        tokenizer: the search's own; it cuts an answer out of a correction.

    Raises:
        DataError: the file cannot be read.
    """
    found = Feedback()
    # The newest word on a question with these passages: others are another question to a model.
    good, bad = dict[Key, tuple[list[Message], str]](), dict[Key, tuple[list[Message], str]]()
    for row in _rows(path):
        ids = [source["faq_id"] for source in sorted(row["sources"], key=lambda source: source["n"])]
        correction = _corrected(row)
        if {*ids, *([correction.id] if correction else [])} & validation:
            found.dropped["validation"] += 1
        elif not set(ids) <= faqs.keys():
            found.dropped["a passage is gone"] += 1
        elif correction:
            _add_correction(found, row, [faqs[id] for id in ids], correction, system, tokenizer)
        elif row["rating"] not in ("up", "down") or not row["answer"]:
            found.dropped["no word on it"] += 1
        elif not ids:
            found.dropped["a fixed answer"] += 1
        else:
            up = row["rating"] == "up"
            prompt = ground(row["standalone"], [faqs[id] for id in ids], system=system).messages()
            found.kto.append({"prompt": prompt, "completion": [_said(row["answer"])], "label": up})
            key = (normalise(row["standalone"]), *ids)
            (good if up else bad).setdefault(key, (prompt, row["answer"]))
    for key in good.keys() & bad.keys():
        (prompt, better), (_, worse) = good[key], bad[key]
        if better != worse:
            found.dpo.append({"prompt": prompt, "chosen": [_said(better)], "rejected": [_said(worse)]})
    found.dpo.sort(key=lambda row: str(row["prompt"]))
    return found


def _corrected(row: Row) -> Faq | None:
    """The FAQ that somebody wrote because of the turn."""
    if not row["correction"]:
        return None
    title, answer = row["correction"]["question"], row["correction"]["answer"]
    return Faq(faq_id(title), title, answer, (), (), title)


def _add_correction(
    found: Feedback, row: Row, shown: list[Faq], correction: Faq, system: str, tokenizer: KoreanTokenizer
) -> None:
    """The answer that the FAQ gives which somebody wrote or mended; the old answer's numbers stay right."""
    question = row["standalone"]
    passages = [correction if faq.id == correction.id else faq for faq in shown]
    passages += [] if correction in passages else [correction]
    prompt = ground(question, passages, system=system).messages()
    better = "".join(compose(question, [Passage(passages.index(correction) + 1, correction)], tokenizer))
    found.sft.append({"messages": [*prompt, _said(better)], "kind": "correction"})
    if row["answer"] and row["rating"] != "up" and row["answer"] != better:
        found.dpo.append({"prompt": prompt, "chosen": [_said(better)], "rejected": [_said(row["answer"])]})


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


def _said(answer: str) -> Message:
    return Message(role="assistant", content=answer)
