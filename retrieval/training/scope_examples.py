"""Training examples of the scope classifier: written lines, and the corpus' own expansions as in_scope.

Knows the line format (`{"text", "label", "style"}`) and searches each line; does not know how a classifier
is fitted.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from retrieval.corpus.faq import MAX_BYTES
from retrieval.corpus.rows import decode, json_lines, read_bytes
from retrieval.errors import CorpusError
from retrieval.scope.classifier import CLASSES
from retrieval.scope.features import scope_input
from retrieval.search import Searcher
from retrieval.training.held_out import HeldOut
from retrieval.training.metrics import first_rank
from retrieval.training.scope import Example

# What a line may be; all but the classes are recognised by `retrieval.scope.intents`, and not trained on.
LABELS = (*CLASSES, "greeting", "thanks", "person")
ELSEWHERE_WEIGHT = 0.3
# Lines in sellers' own words stand for what is really typed; expansions are many and easy.
_SELLERS_WEIGHT = 3.0
_WEIGHT = {"sellers": _SELLERS_WEIGHT, "written": _SELLERS_WEIGHT}
_EXPANSION_WEIGHT = 0.3
_HINT = (
    f'Each line must be {{"text": "…", "label": "…", "style": "…"}}, the label one of {", ".join(LABELS)}.'
)
_FOLLOWUP = "followup"


@dataclass(frozen=True, slots=True)
class ScopeLine:
    """One written line.

    Attributes:
        text: the line.
        label: one of `LABELS`.
        style: how it was meant, for the reader of the errors.
        origin: the name of its file, without the ending.
    """

    text: str
    label: str
    style: str
    origin: str = ""


def read_scope_lines(folder: Path) -> list[ScopeLine]:
    """Reads every `*.jsonl` of `folder`; a line of the style `followup` is a bare follow-up.

    Raises:
        CorpusError: no such file, or a faulty line, which the message names.
    """
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        raise CorpusError(folder, "holds no .jsonl file.", hint=_HINT)
    lines: dict[str, ScopeLine] = {}
    for file in files:
        for number, row in json_lines(decode(read_bytes(file, MAX_BYTES), file), file, _HINT):
            text, label, style = row.get("text"), row.get("label"), row.get("style", "")
            if not isinstance(text, str) or not text.strip() or label not in LABELS:
                raise CorpusError(file, f"line {number}: no text, or an unknown label {label!r}.", hint=_HINT)
            label = "bare" if style == _FOLLOWUP else label
            lines.setdefault(text, ScopeLine(text, label, str(style), file.stem))
    return list(lines.values())


def scope_examples(
    corpus: HeldOut, lines: Sequence[ScopeLine], *, expansions: int = 2000, seed: int = 3
) -> Iterator[Example]:
    """Searches every line, and up to `expansions` expansions without their own row."""
    for line in lines:
        if line.label in CLASSES:
            yield _example(line.label, line.text, corpus.full, weight=_WEIGHT.get(line.origin, 1.0))
    rng = random.Random(seed)
    asked = [(faq, text) for faq in corpus.faqs for text in corpus.expansions[faq.id]]
    for faq, text in rng.sample(asked, min(expansions, len(asked))):
        searcher, gold = corpus.without(text), (faq.id,)
        yield _example("in_scope", text, searcher, weight=_EXPANSION_WEIGHT, group="expansion", gold=gold)


def asked_examples(corpus: HeldOut, questions: Mapping[str, Sequence[str]]) -> Iterator[Example]:
    """Sellers' questions, each with all FAQs that answer it, asked of an index that lacks it: in_scope."""
    known = {faq.id for faq in corpus.faqs}
    for text, ids in questions.items():
        if gold := [id for id in ids if id in known]:
            searcher = corpus.without(text)
            yield _example("in_scope", text, searcher, weight=_SELLERS_WEIGHT, group="asked", gold=gold)


def query_examples(corpus: HeldOut, queries: Mapping[str, Sequence[str]]) -> Iterator[Example]:
    """Questions written for single FAQs of the corpus: in_scope, and not among its expansions."""
    known = {faq.id for faq in corpus.faqs}
    for id, texts in queries.items():
        for text in texts if id in known else ():
            yield _example("in_scope", text, corpus.full, group="queries", gold=(id,))


def other_corpus_examples(corpus: HeldOut, lines: Sequence[ScopeLine]) -> Iterator[Example]:
    """The same for a second corpus, so that what is learned of the first one's size and words is unlearned.

    Its expansions are in_scope; of the written lines those that no FAQ about a store answers count again.
    """
    for line in lines:
        if line.label in CLASSES and line.label != "in_scope":
            yield _example(line.label, line.text, corpus.full, weight=ELSEWHERE_WEIGHT, group="sample")
    for faq in corpus.faqs:
        for text in corpus.expansions[faq.id]:
            yield _example("in_scope", text, corpus.without(text), group="sample", gold=(faq.id,))


def _example(
    label: str,
    text: str,
    searcher: Searcher,
    *,
    weight: float = 1.0,
    group: str = "written",
    gold: Sequence[str] | None = None,
) -> Example:
    result = searcher.search(text)
    rank = None if gold is None else first_rank([hit.faq.id for hit in result.hits], gold) or 0
    sure = result.hits[0].score if result.hits else 0.0
    return Example(label, text, scope_input(text, result), weight, group, rank, sure)
