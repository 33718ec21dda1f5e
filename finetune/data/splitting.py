"""Splits FAQs into training and validation so that no question or answer is on both sides.

FAQs that say nearly the same go to the same side. Knows texts and ids; knows no prompts.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from finetune.data.overlap import grams
from retrieval.corpus.faq import Faq

_ALIKE = 0.6
_COMMON = 50


@dataclass(frozen=True, slots=True)
class Split:
    """FAQ ids of each side, and the group of alike FAQs that each id belongs to."""

    train: frozenset[str]
    validation: frozenset[str]
    groups: dict[str, int]


def alike_groups(faqs: Sequence[Faq]) -> dict[str, int]:
    """Groups FAQs whose questions or answers share most of their n-grams; returns a number by id.

    N-grams that more than 50 FAQs have in common are phrases of the site and say nothing.
    """
    parents = list(range(len(faqs)))

    def root(n: int) -> int:
        while parents[n] != n:
            parents[n] = parents[parents[n]]
            n = parents[n]
        return n

    for texts in ([faq.body_question for faq in faqs], [faq.answer for faq in faqs]):
        found = [grams(text) for text in texts]
        where: dict[str, list[int]] = defaultdict(list)
        for n, held in enumerate(found):
            for gram in held:
                where[gram].append(n)
        for n, held in enumerate(found):
            shared = Counter(
                other for gram in held if len(where[gram]) <= _COMMON for other in where[gram] if other > n
            )
            for other, count in shared.items():
                if count >= _ALIKE * min(len(held), len(found[other])):
                    parents[root(other)] = root(n)
    return {faq.id: root(n) for n, faq in enumerate(faqs)}


def split_faqs(faqs: Sequence[Faq], *, validation_share: float, seed: int) -> Split:
    """Puts whole groups aside for validation until it has its share.

    Groups go in the order of a hash of seed and ids, so that one FAQ more or less hardly moves others.
    A group larger than a tenth of the share's bound stays in training.
    """
    groups = alike_groups(faqs)
    members: dict[int, list[str]] = defaultdict(list)
    for id, group in groups.items():
        members[group].append(id)
    wanted = round(validation_share * len(faqs))
    largest = max(1, wanted // 10)
    validation: set[str] = set()
    for ids in sorted(members.values(), key=lambda ids: _order(min(ids), seed)):
        if len(validation) >= wanted:
            break
        if len(ids) <= largest:
            validation.update(ids)
    train = frozenset(faq.id for faq in faqs) - validation
    return Split(train, frozenset(validation), groups)


def _order(id: str, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed}:{id}".encode(), digest_size=8).digest()
