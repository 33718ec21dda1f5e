"""Compares a source of FAQs, read again, with what is in service, and publishes the difference as edits.

What a person has edited here is left as it is and told. Knows corpora and edits; not where a source lies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from retrieval.corpus.faq import Corpus
from retrieval.edits.overlay import Entry, entry_of

BY = "sync"


@dataclass(frozen=True, slots=True)
class Difference:
    """What the source has that is not in service, by FAQ id.

    Attributes:
        new, changed, gone: the entries as they shall be (gone ones retired).
        kept: differs, but a person has edited it here since; not touched.
    """

    new: Mapping[str, Entry]
    changed: Mapping[str, Entry]
    gone: Mapping[str, Entry]
    kept: tuple[str, ...]

    @property
    def entries(self) -> dict[str, Entry]:
        """All that shall be published."""
        return {**self.new, **self.changed, **self.gone}


def difference(source: Corpus, live: Corpus, editors: Mapping[str, str]) -> Difference:
    """Compares `source` with what is `live`; `editors` has who edited a FAQ last, by its id."""
    new: dict[str, Entry] = {}
    changed: dict[str, Entry] = {}
    gone: dict[str, Entry] = {}
    kept: list[str] = []
    people = {id for id, by in editors.items() if by != BY}
    for faq in source.faqs:
        now = live.by_id.get(faq.id)
        if now is not None and entry_of(now) == entry_of(faq):
            continue
        if faq.id in people:
            kept.append(faq.id)
        else:
            (changed if now else new)[faq.id] = entry_of(faq)
    for faq in live.faqs:
        if faq.id not in source.by_id and faq.id not in people:
            gone[faq.id] = replace(entry_of(faq), retired=True)
    return Difference(new, changed, gone, tuple(kept))
