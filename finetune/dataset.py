"""Builds training data from the FAQ: conversations exactly as the model meets them at run time.

    python -m finetune.dataset --config configs/finetune/qwen3-32b-lora-h200.yaml [--tokenizer DIR]

Writes `train.jsonl`, `validation.jsonl` (one `{"messages": […], "kind", "faq_id"}` a line) and `card.json`
to `data.folder`. Knows the order of the steps; kinds of examples are made in `examples.py`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from finetune.config import Config, Data, load_config
from finetune.data.encoding import encode
from finetune.data.examples import Example, ExampleMaker, chosen_share
from finetune.data.feedback import read_feedback, write_feedback
from finetune.data.hard_negatives import open_search
from finetune.data.overlap import Overlap, normalise, said_lines
from finetune.data.splitting import Split, split_faqs
from finetune.data.teacher import Rewriter
from finetune.data.versions import git_commit
from finetune.errors import DataError, FinetuneError
from retrieval.corpus.expansions import read_expansions
from retrieval.corpus.faq import Corpus, Faq, read_corpus
from retrieval.errors import RetrievalError
from retrieval.prompt import NOT_FOUND, REFUSAL, load_system_prompt
from retrieval.tokenizer import KoreanTokenizer

Side = Literal["train", "validation"]
SIDES: tuple[Side, ...] = ("train", "validation")
_FIXED = (NOT_FOUND, REFUSAL)


@dataclass
class Dataset:
    """Examples by side, what they were made of, and how many were left out for which reason."""

    examples: dict[Side, list[Example]]
    split: Split
    corpus: Corpus
    index: str = ""
    dropped: Counter[str] = field(default_factory=Counter)
    rewritten: dict[str, int] = field(default_factory=dict)


def build(config: Config) -> Dataset:
    """Builds all examples; writes nothing but the teacher's store.

    Raises:
        RetrievalError: corpus, expansions or index cannot be used.
        FinetuneError: the teacher or a file failed.
    """
    data, seed = config.data, config.training.seed
    corpus = _limited(read_corpus(data.faq), data.limit)
    expansions = {id: q for id, q in read_expansions(data.expansions).items() if id in corpus.by_id}
    searcher = open_search(data, corpus, expansions, progress=_progress)
    split = split_faqs(corpus.faqs, validation_share=data.validation_share, seed=seed)
    everyone, ways = frozenset(corpus.by_id), of_one_faq(expansions)
    made: dict[Side, list[Example]] = {}
    makers: dict[Side, ExampleMaker] = {}
    sides: tuple[tuple[Side, frozenset[str], frozenset[str]], ...] = (
        ("train", split.train, split.train),
        ("validation", split.validation, everyone),
    )
    for side, members, allowed in sides:
        makers[side] = ExampleMaker(
            corpus, ways, searcher,
            allowed=allowed, passages=data.passages, seed=seed,
        )  # fmt: skip
        made[side] = _side(makers[side], [faq for faq in corpus.faqs if faq.id in members], split, config)
    lines = _scope_lines(data.scope, seed)
    _add_scope(made, lines, makers, data)
    dataset = Dataset(made, split, corpus, searcher.index.fingerprint)
    _deduplicate(dataset)
    _keep_apart(dataset)
    _avoid(dataset, data)
    _rewrite(dataset, corpus, data)
    for examples in dataset.examples.values():
        random.Random(seed).shuffle(examples)
    if not dataset.examples["train"]:
        raise DataError(f"{data.faq} with this mix gives no training example; raise data.mix.grounded")
    return dataset


def of_one_faq(expansions: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """The ways of asking that no other FAQ answers: with any other, an absent answer would not be absent."""
    owners = Counter(query for queries in expansions.values() for query in queries)
    return {id: tuple(q for q in queries if owners[q] == 1) for id, queries in expansions.items()}


def _side(maker: ExampleMaker, faqs: Sequence[Faq], split: Split, config: Config) -> list[Example]:
    mix, seed = config.data.mix, config.training.seed
    ids = [faq.id for faq in faqs]
    absent = chosen_share(ids, mix.not_found, key="not_found", seed=seed)
    second = chosen_share(ids, mix.multi_turn, key="multi_turn", seed=seed)
    leaning = chosen_share(ids, mix.followup, key="followup", seed=seed)
    examples: list[Example | None] = []
    for faq in faqs:
        if mix.grounded:
            examples += maker.grounded(faq, questions=mix.grounded)
        if faq.id in absent:
            group = split.groups[faq.id]
            alike = {id for id, other in split.groups.items() if other == group}
            examples.append(maker.not_found(faq, alike | {faq.id}))
        if faq.id in second:
            examples.append(maker.multi_turn(faq))
        if faq.id in leaning:
            examples.append(maker.followup(faq))
    return [example for example in examples if example]


def _scope_lines(path: Path, seed: int) -> dict[str, list[str]]:
    """Lines by label, shuffled; injections are refused like what is off topic."""
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
        found: dict[str, list[str]] = {"off_topic": [], "unanswerable": []}
        for row in rows:
            label = "off_topic" if row["label"] == "injection" else row["label"]
            if label in found:
                found[label].append(str(row["text"]))
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise DataError(f"{path}: must hold a text and a label in each line ({exc!r})") from exc
    for label, texts in found.items():
        random.Random(f"{seed}:{label}").shuffle(texts)
    return found


def _add_scope(
    made: dict[Side, list[Example]],
    lines: dict[str, list[str]],
    makers: dict[Side, ExampleMaker],
    data: Data,
) -> None:
    """Adds refusals and not-founds in proportion; the first lines of each label go to validation."""
    shares = {"off_topic": data.mix.off_topic, "unanswerable": data.mix.unanswerable}
    for label, share in shares.items():
        rest = iter(lines[label])
        wanted = {side: round(share * len(made[side])) for side in SIDES}
        for side in reversed(SIDES):
            maker = makers[side]
            for text, _ in zip(rest, range(wanted[side]), strict=False):
                made[side].append(maker.off_topic(text) if label == "off_topic" else maker.unanswerable(text))


def _deduplicate(dataset: Dataset) -> None:
    """Keeps the first of examples that ask the same after the same history."""
    for side in SIDES:
        seen: set[tuple[str, ...]] = set()
        kept = []
        for example in dataset.examples[side]:
            earlier = (message["content"] for message in example.messages[1:-2])
            key = (*map(normalise, earlier), normalise(example.question), str(example.kind == "not_found"))
            if key not in seen:
                seen.add(key)
                kept.append(example)
        dataset.dropped["duplicate"] += len(dataset.examples[side]) - len(kept)
        dataset.examples[side] = kept


def said(example: Example) -> list[str]:
    """What an example says itself: what was asked, and the answer where it is no fixed sentence."""
    texts = [example.question, *(m["content"] for m in example.messages[1:-2] if m["role"] == "user")]
    return texts if example.answer in _FIXED else [*texts, example.answer]


def _keep_apart(dataset: Dataset) -> None:
    """Drops training examples that say what a validation example says."""
    held_out = Overlap(text for example in dataset.examples["validation"] for text in said(example))
    _filter(dataset, ("train",), held_out, "said in validation")


def _avoid(dataset: Dataset, data: Data) -> None:
    """Drops every example that says a line of the folder to avoid."""
    if data.avoid is not None and data.avoid.is_dir():
        _filter(dataset, SIDES, Overlap(said_lines(data.avoid)), "said in an evaluation set")


def _filter(dataset: Dataset, sides: Iterable[Side], lines: Overlap, reason: str) -> None:
    for side in sides:
        kept = [e for e in dataset.examples[side] if not any(lines.held(text) for text in said(e))]
        dataset.dropped[reason] += len(dataset.examples[side]) - len(kept)
        dataset.examples[side] = kept


def _rewrite(dataset: Dataset, corpus: Corpus, data: Data) -> None:
    if data.teacher is None:
        return
    with ExitStack() as stack:
        teacher = stack.enter_context(Rewriter(data.teacher, data.folder / "teacher.jsonl"))
        for side in SIDES:
            for n, example in enumerate(dataset.examples[side]):
                if example.answer in _FIXED:
                    continue
                faq = corpus.by_id[example.faq_id]
                answer = teacher.rewrite(example.question, example.answer, f"{faq.question}\n{faq.answer}")
                last = {**example.messages[-1], "content": answer}
                messages = (*example.messages[:-1], last)
                dataset.examples[side][n] = replace(example, messages=messages)  # type: ignore[arg-type]
        dataset.rewritten = {"accepted": teacher.accepted, "rejected": teacher.rejected}
    _keep_apart(dataset)
    _avoid(dataset, data)


def write(dataset: Dataset, config: Config, *, tokenizer: Any = None) -> dict[str, Any]:
    """Writes both files and the card to `data.folder`; returns the card.

    Args:
        dataset: the examples.
        config: where they come from and go to.
        tokenizer: a transformers tokenizer, for lengths in tokens.
    """
    folder = config.data.folder
    folder.mkdir(parents=True, exist_ok=True)
    hashes = {}
    for side in SIDES:
        rows = (
            {"messages": list(e.messages), "kind": e.kind, "faq_id": e.faq_id} for e in dataset.examples[side]
        )
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{side}.jsonl").write_text(text, encoding="utf-8")
        hashes[side] = hashlib.sha256(text.encode()).hexdigest()
    card = {
        "examples": {s: dict(sorted(Counter(e.kind for e in dataset.examples[s]).items())) for s in SIDES},
        "faqs": {"train": len(dataset.split.train), "validation": len(dataset.split.validation)},
        "dropped": dict(sorted(dataset.dropped.items())),
        "teacher": dataset.rewritten or None,
        "tokens": _lengths(dataset, tokenizer) if tokenizer is not None else None,
        "characters": {s: _quantiles([_characters(e) for e in dataset.examples[s]]) for s in SIDES},
        "sha256": hashes,
        "data_hash": hashlib.sha256("".join(hashes.values()).encode()).hexdigest(),
        "source": {
            "faq": config.data.faq.name,
            "index": dataset.index,
            "instructions": hashlib.sha256(load_system_prompt().encode()).hexdigest(),
            "git_commit": git_commit(),
        },
        "settings": config.data.model_dump(mode="json", exclude={"folder"}),
        "seed": config.training.seed,
    }
    (folder / "card.json").write_text(json.dumps(card, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return card


def _characters(example: Example) -> int:
    return sum(len(message["content"]) for message in example.messages)


def _lengths(dataset: Dataset, tokenizer: Any) -> dict[str, Any]:
    lengths: dict[str, Any] = {}
    for side in SIDES:
        encoded = [encode(tokenizer, example.messages) for example in dataset.examples[side]]
        lengths[side] = {
            "all": _quantiles([len(e.input_ids) for e in encoded]),
            "learnt": _quantiles([e.learnt for e in encoded]),
        }
    return lengths


def _quantiles(values: Sequence[int]) -> dict[str, int]:
    ordered = sorted(values)
    if not ordered:
        return {}
    at = {"p50": 0.5, "p95": 0.95, "max": 1.0}
    found = {name: ordered[min(len(ordered) - 1, int(q * len(ordered)))] for name, q in at.items()}
    return {**found, "sum": sum(ordered)}


def _limited(corpus: Corpus, limit: int | None) -> Corpus:
    return corpus if limit is None else replace(corpus, faqs=corpus.faqs[:limit])


def _progress(step: str, done: int, total: int) -> None:
    if done == total:
        print(f"{step}: {total} texts", file=sys.stderr)


def main(argv: list[str] | None = None) -> int:
    """Builds the data that a configuration describes."""
    parser = argparse.ArgumentParser(prog="python -m finetune.dataset", description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--history", type=Path, help="turns of `smartstore history export`: see feedback.py")
    parser.add_argument("--tokenizer", type=Path, help="a model's folder, to count tokens in the card")
    given = parser.parse_args(argv)
    try:
        config = load_config(given.config)
        tokenizer = None
        if given.tokenizer is not None:
            from transformers import AutoTokenizer

            tokenizer = AutoTokenizer.from_pretrained(given.tokenizer)
        dataset = build(config)
        card = write(dataset, config, tokenizer=tokenizer)
        if given.history is not None:
            told = read_feedback(
                given.history,
                faqs=dataset.corpus.by_id,
                validation=dataset.split.validation,
                system=load_system_prompt(),
                tokenizer=KoreanTokenizer(),
            )
            kept = write_feedback(told, config.data.folder)
            print(f"from the history: {kept}, left out: {dict(told.dropped)}")
    except (FinetuneError, RetrievalError) as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    for side in SIDES:
        print(f"{side}: {sum(card['examples'][side].values())} examples {card['examples'][side]}")
    print(f"left out: {card['dropped']}\nwritten to {config.data.folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
