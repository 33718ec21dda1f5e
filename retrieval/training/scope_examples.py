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
from retrieval.training.held_out import HeldOut
from retrieval.training.scope import Example

ELSEWHERE_WEIGHT = 0.3
_HINT = (
    f'Each line must be {{"text": "…", "label": "…", "style": "…"}}, the label one of {", ".join(CLASSES)}.'
)
_FOLLOWUP = "followup"


@dataclass(frozen=True, slots=True)
class ScopeLine:
    """One written line; `style` says how it was meant, for the reader of the errors."""

    text: str
    label: str
    style: str


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
            if not isinstance(text, str) or not text.strip() or label not in CLASSES:
                raise CorpusError(file, f"line {number}: no text, or an unknown label {label!r}.", hint=_HINT)
            label = "bare" if style == _FOLLOWUP else label
            lines.setdefault(text, ScopeLine(text, label, str(style)))
    return list(lines.values())


def scope_examples(
    corpus: HeldOut, lines: Sequence[ScopeLine], *, expansions: int = 2000, seed: int = 3
) -> Iterator[Example]:
    """Searches every line, and up to `expansions` expansions without their own row."""
    for line in lines:
        given = scope_input(line.text, corpus.full.search(line.text))
        yield Example(line.label, line.text, given)
    rng = random.Random(seed)
    faqs = [faq for faq in corpus.faqs if corpus.expansions[faq.id]]
    for faq in rng.sample(faqs, min(expansions, len(faqs))):
        number = rng.randrange(len(corpus.expansions[faq.id]))
        text = corpus.expansions[faq.id][number]
        given = scope_input(text, corpus.without(number).search(text))
        yield Example("in_scope", text, given, group="expansion")


def query_examples(corpus: HeldOut, queries: Mapping[str, Sequence[str]]) -> Iterator[Example]:
    """Questions written for single FAQs of the corpus: in_scope, and not among its expansions."""
    known = {faq.id for faq in corpus.faqs}
    for id, texts in queries.items():
        for text in texts if id in known else ():
            yield Example("in_scope", text, scope_input(text, corpus.full.search(text)))


def other_corpus_examples(corpus: HeldOut, lines: Sequence[ScopeLine]) -> Iterator[Example]:
    """The same for a second corpus, so that what is learned of the first one's size and words is unlearned.

    Its expansions are in_scope; of the written lines those that no FAQ about a store answers count again.
    """
    for line in lines:
        if line.label != "in_scope":
            given = scope_input(line.text, corpus.full.search(line.text))
            yield Example(line.label, line.text, given, ELSEWHERE_WEIGHT, "sample")
    for faq in corpus.faqs:
        for number, text in enumerate(corpus.expansions[faq.id]):
            given = scope_input(text, corpus.without(number).search(text))
            yield Example("in_scope", text, given, 1.0, "sample")
