"""The overlay: what an operator made of single FAQs, merged over the corpus of the file.

Knows FAQs and their expansions; not who edited, nor where edits are kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from retrieval.corpus.cleaning import clean_title
from retrieval.corpus.faq import Corpus, Faq, faq_id
from retrieval.index.rows import faq_json


@dataclass(frozen=True, slots=True)
class Entry:
    """A FAQ as an operator wants it.

    Attributes:
        question, answer, categories: as shown.
        expansions: other ways of asking, added to those of the expansion files.
        retired: found no more; the rest is kept for an undo.
        link, date: as in `Faq`.
    """

    question: str
    answer: str
    categories: tuple[str, ...] = ()
    expansions: tuple[str, ...] = ()
    retired: bool = False
    link: str = ""
    date: str = ""

    def cleaned(self) -> Entry:
        """Without outer blanks, blank wordings and repeats."""
        wordings = (clean_title(text) for text in self.expansions)
        return replace(
            self,
            question=clean_title(self.question),
            answer="\n".join(line.rstrip() for line in self.answer.strip().splitlines()),
            categories=tuple(dict.fromkeys(text.strip() for text in self.categories if text.strip())),
            expansions=tuple(dict.fromkeys(text for text in wordings if text)),
        )

    def to_json(self) -> dict[str, Any]:
        """As it is stored."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Entry:
        """The inverse of `to_json`."""
        lists = (tuple(value["categories"]), tuple(value["expansions"]))
        # Edits of before these two fields have neither.
        origin = (value.get("link", ""), value.get("date", ""))
        return cls(value["question"], value["answer"], *lists, value["retired"], *origin)


Overlay = Mapping[str, Entry | None]
"""By FAQ id, in the order first edited; None where an edit was undone and the file counts again."""


def entry_of(faq: Faq) -> Entry:
    """A FAQ of the file as an entry to be edited."""
    return Entry(faq.question, faq.answer, faq.categories, link=faq.link, date=faq.date)


def new_id(question: str, taken: Sequence[str] | Mapping[str, Any]) -> str:
    """The id of a new FAQ; another one where an edited FAQ has that already."""
    id, n = faq_id(question), 1
    while id in taken:
        n += 1
        id = faq_id(f"{question} #{n}")
    return id


def merged(
    corpus: Corpus, expansions: Mapping[str, Sequence[str]], overlay: Overlay
) -> tuple[Corpus, dict[str, tuple[str, ...]]]:
    """The corpus and expansions as they are with the overlay: in the file's order, new ones at the end."""
    faqs = dict(corpus.by_id)
    wordings = {id: tuple(queries) for id, queries in expansions.items()}
    for id, entry in overlay.items():
        if entry is None:
            continue
        if entry.retired:
            faqs.pop(id, None)
            continue
        old = faqs.get(id)
        related, title = (old.related, old.title) if old else ((), entry.question)
        text = (entry.question, entry.answer, entry.categories)
        faqs[id] = Faq(id, *text, related, title, entry.link, entry.date)
        if entry.expansions:
            wordings[id] = tuple(dict.fromkeys((*wordings.get(id, ()), *entry.expansions)))
    if not overlay:
        return corpus, wordings
    kept = tuple(faqs.values())
    digest = hashlib.blake2b(digest_size=16)
    for faq in kept:
        digest.update(faq_json(faq).encode() + b"\0")
    return Corpus(kept, corpus.duplicates, corpus.source, digest.hexdigest()), wordings
