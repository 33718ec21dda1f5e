"""What a build knows of every FAQ's title: whether it finds its own FAQ, and which others it finds.

Knows ids only; does not know how titles are searched (`find.py`), nor who is offered what.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Offer:
    """One FAQ's title, searched the way a click searches it.

    Attributes:
        offerable: it finds its own FAQ first, and is judged answerable.
        short: the wording without the FAQ's tag that finds it first, too; empty where there is none.
        neighbours: ids of what it finds, best first, without its own.
        related: ids of the related entries that are the title of a FAQ.
    """

    offerable: bool
    short: str
    neighbours: tuple[str, ...]
    related: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Offers:
    """Offers by FAQ id; a FAQ that is missing has to be searched.

    Attributes:
        version: of the ranker and the verdicts they were judged with.
        by_id: what is known.
    """

    version: str
    by_id: Mapping[str, Offer]

    def without(self, ids: Collection[str], suspects: Collection[str]) -> Offers:
        """What still holds once the FAQs `ids` are changed: not what found one of them, nor `suspects`."""
        gone = frozenset(ids)
        kept = {
            id: offer
            for id, offer in self.by_id.items()
            if id not in gone and id not in suspects and gone.isdisjoint((*offer.neighbours, *offer.related))
        }
        return Offers(self.version, kept)

    def to_json(self) -> str:
        """As it is stored."""
        rows = {id: [o.offerable, o.short, o.neighbours, o.related] for id, o in self.by_id.items()}
        return json.dumps([self.version, rows], ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Offers:
        """The inverse of `to_json`. Raises `ValueError` or `TypeError` where it is none."""
        version, rows = json.loads(text)
        offers = {id: Offer(o[0], o[1], tuple(o[2]), tuple(o[3])) for id, o in rows.items()}
        return cls(version, offers)
