"""Chooses the sentences of one FAQ's answer that answer a question.

Scores every unit by the question's terms it holds, the form of answer the question asks for and its
place, then fills a length budget, best first, keeping together what is only understood together. Knows
no other FAQ, no citations and no layout.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from retrieval.quoting.cues import Aim, Question, Terms, flat
from retrieval.quoting.units import Role, Unit

SOFT_CHARS = 220
HARD_CHARS = 420
_TOGETHER_CHARS = 230
_SHORT_BODY = 230
_PLACE = (0.36, 0.26, 0.16, 0.08, 0.04)
_TITLE, _CASE, _HEAD, _FACT = 0.35, 0.25, 0.4, 0.1
_TOLD: dict[Aim, float] = {"whether": 0.2, "list": 0.2, "meaning": 0.15}
_TOLD_ELSE, _TOLD_MOST = 0.4, 0.8
_PRECISE = re.compile(r"\d|\[[^\]]*>[^\]]*\]")
_ANNOUNCED, _INTRODUCED = 0.3, 0.4
_CERTIFICATE = "등록증"  # a paper: it says nothing of registering (`등록`)
_KNOWN, _ITEM = 0.6, 0.8
_REMARK, _REMARK_AHEAD = 0.7, 0.1
_ENOUGH, _MORE = 0.25, 0.5
_REPEATED = 0.6
_PENALTIES: dict[Role, float] = {"note": 0.25, "example": 0.4, "table": 0.35}
_DEFINITION, _SECOND_STEPS = 0.3, 0.4
_TABLE_CHARS = range(40, 250)
_OVER, _STEEP = 1.35, 1.5


@dataclass(frozen=True, slots=True)
class Scored:
    """A unit and what it has for a question.

    Attributes:
        unit: the unit.
        score: how well it answers, comparable within one question and answer.
        found: the question's terms in it, with their shares of the question (sum at most 1).
        told: the question's aims whose form it has.
        other_case: it treats only a case that the question excludes.
    """

    unit: Unit
    score: float
    found: dict[Terms, float]
    told: frozenset[Aim]
    other_case: bool = False


def score_units(units: Sequence[Unit], question: Question, title: Question) -> list[Scored]:
    """Scores units for a question; `title` is the question the FAQ itself answers."""
    texts = [flat(unit.text) for unit in units]
    if _CERTIFICATE not in flat(question.text):
        texts = [text.replace(_CERTIFICATE, "증") for text in texts]
    named = flat(title.text)
    asked = _shares(question, texts, known=named)
    telling = {terms: share for terms, share in asked.items() if not any(term in named for term in terms)}
    # What the title asks beyond the question counts less: the question decides.
    meant = {terms: share for terms, share in _shares(title, texts).items() if terms not in asked}
    scored: list[Scored] = []
    sentences = items = 0
    for unit, text in zip(units, texts, strict=True):
        above = " ".join(texts[i] for i in (unit.head, unit.parent) if i >= 0)
        # What the title says holds under every heading, so it tells no two of them apart.
        found = _found(telling if unit.role == "heading" else asked, text)
        told = question.told(unit.text)
        score = sum(found.values()) + _TITLE * sum(_found(meant, text).values())
        score += _HEAD * sum(share for terms, share in _found(telling, above).items() if terms not in found)
        score += _worth(told) + _FACT * bool(_PRECISE.search(unit.text))
        case = question.case(f"{above} {unit.text}")
        score += _CASE * case
        if unit.role == "sentence" and not unit.empty:
            score += _PLACE[min(sentences, len(_PLACE) - 1)]
            sentences += 1
        items = items + 1 if unit.group >= 0 else 0
        if items and units[unit.head].role == "sentence":
            score += _PLACE[min(sentences, len(_PLACE) - 1)] * _ITEM**items
        if unit.defines and question.aims and "meaning" not in question.aims:
            score -= _DEFINITION
        scored.append(Scored(unit, score - _penalty(unit), found, told, case < 0))
    return _promote_remark(scored)


def _promote_remark(scored: list[Scored]) -> list[Scored]:
    """Lifts the one remark that holds clearly more of the question than any sentence of the body."""
    body = max((sum(s.found.values()) for s in scored if s.unit.role not in _PENALTIES), default=0.0)
    notes = [s for s in scored if s.unit.role == "note" and not s.unit.empty]
    best = max(notes, key=lambda s: sum(s.found.values()), default=None)
    if best is None or sum(best.found.values()) < body + _REMARK_AHEAD:
        return scored
    return [replace(s, score=s.score + _REMARK) if s is best else s for s in scored]


def select_units(scored: Sequence[Scored], question: Question, *, budget: int | None = None) -> list[Unit]:
    """Chooses units in reading order: about `budget` characters, more only where a list needs it."""
    return _Selection(scored, question, budget or SOFT_CHARS).run()


def unanswered_share(question: Question, said: str, text: str, context: Sequence[str]) -> float:
    """Share of the question's terms that `text` has and `said` has not, 0 to 1; rare in `context` weighs."""
    have, offered = flat(said), flat(text)
    shares = _shares(question, [flat(passage) for passage in context])
    return sum(share for terms, share in _found(shares, offered).items() if not _found({terms: share}, have))


@dataclass
class _Block:
    """Units chosen at once; `ordered` ones may only be cut at the end."""

    items: tuple[int, ...]
    bonus: float = 0.0


@dataclass
class _Selection:
    scored: Sequence[Scored]
    question: Question
    budget: int
    chosen: set[int] = field(default_factory=set)

    def run(self) -> list[Unit]:
        self.chosen = self._short_body()
        blocks = self._blocks()
        best = max((self.scored[i].score for i in self.chosen), default=0.0)
        while blocks and self._size(self.chosen) < self.budget:
            gains = [self._gain(block) for block in blocks]
            place = max(range(len(blocks)), key=lambda i: (gains[i], -blocks[i].items[0]))
            best = max(best, gains[place])
            block = blocks.pop(place)
            if not self.chosen or gains[place] >= best * self._floor(block):
                self._add(block)
        return [self._unit(i) for i in sorted(self.chosen)] or self._beginning()

    def _beginning(self) -> list[Unit]:
        """The first units, whatever they are, where none can be quoted for itself."""
        taken = [item.unit for item in self.scored]
        while len(taken) > 1 and sum(len(unit.text) for unit in taken) > self.budget:
            taken.pop()
        return taken

    def _floor(self, block: _Block) -> float:
        """What share of the best gain is enough: more for what is long, and for remarks."""
        if self._unit(block.items[0]).role in _PENALTIES:
            return _MORE
        filled = self._size(self.chosen.union(block.items)) / self.budget
        return _ENOUGH + (_MORE - _ENOUGH) * min(_STEEP, max(0.0, (filled - 1) / (_OVER - 1)))

    def _short_body(self) -> set[int]:
        """All that is no note, where that is short: a short answer is already to the point."""
        body = {
            item.unit.index
            for item in self.scored
            if item.unit.role in ("sentence", "step", "bullet") and not (item.unit.empty or item.other_case)
        }
        best = max(self.scored, key=lambda item: item.score, default=None)
        if best is None or self._size(body | {best.unit.index}) > _SHORT_BODY:
            return set()
        if not self.question.aims or "meaning" in self.question.aims:
            return body
        return {i for i in body if not self._unit(i).defines} or body

    def _unit(self, index: int) -> Unit:
        return self.scored[index].unit

    def _size(self, indices: Iterable[int]) -> int:
        return sum(len(self._unit(i).text) + 6 for i in indices)

    def _gain(self, block: _Block) -> float:
        """A block's score, less for terms and forms of answer that are there already."""
        terms = {t for i in self.chosen for t in self.scored[i].found}
        told = {aim for i in self.chosen for aim in self.scored[i].told}
        gains = []
        for i in block.items:
            item = self.scored[i]
            repeated = sum(share for t, share in item.found.items() if t in terms)
            repeated += _worth(item.told & told)
            gains.append(item.score - _REPEATED * repeated)
        gain = 0.6 * max(gains) + 0.4 * sum(gains) / len(gains) + block.bonus
        other_steps = any(self._unit(i).role == "step" for i in self.chosen)
        return gain - _SECOND_STEPS * (other_steps and self._unit(block.items[0]).role == "step")

    def _blocks(self) -> list[_Block]:
        """What can be chosen at once: a sentence, a note, or a list."""
        blocks: list[_Block] = []
        lists: dict[tuple[int, int], list[int]] = {}
        for item in self.scored:
            unit = item.unit
            if unit.empty or unit.index in self.chosen or unit.role == "heading":
                continue
            if unit.role == "table" and len(unit.text) not in _TABLE_CHARS:
                continue
            if unit.group >= 0:
                if not unit.opens:
                    lists.setdefault((unit.group, unit.parent), []).append(unit.index)
            elif not unit.opens:
                blocks.append(_Block((unit.index,)))
        for items in lists.values():
            blocks += self._list_blocks(items)
        return blocks

    def _list_blocks(self, items: list[int]) -> list[_Block]:
        """Steps and short lists as a whole, long lists item by item."""
        units = [self._unit(i) for i in items]
        head = units[0].head
        bonus = 0.0
        if head >= 0 and (self._unit(head).opens or self._unit(head).role == "heading"):
            bonus = _ANNOUNCED * max(0.0, self.scored[head].score)
            if (opener := self._unit(head).head) >= 0 and self._unit(opener).opens:
                bonus = max(bonus, _INTRODUCED * self.scored[opener].score)
        steps = units[0].role == "step" and len(items) > 1 and sum(u.whole for u in units) * 2 > len(units)
        if steps and self.question.aims & {"how", "where"}:
            bonus += 0.25
        if not steps and "list" in self.question.aims:
            bonus += 0.15
        if steps or sum(len(unit.text) for unit in units) <= _TOGETHER_CHARS:
            return [_Block(tuple(items), bonus)]
        return [_Block((i,), bonus / 2) for i in items if self.scored[i].found or self.scored[i].told]

    def _add(self, block: _Block) -> None:
        room = HARD_CHARS - self._size(self.chosen)
        if len(block.items) == 1 and self.chosen:
            room = int(self.budget * _OVER) - self._size(self.chosen)
        added: set[int] = set()
        for i in block.items:
            wanted = added | (self._closure(i) - self.chosen)
            if self._size(wanted) > room and (self.chosen or added):
                break
            added = wanted
        self.chosen |= added

    def _closure(self, index: int) -> set[int]:
        """The unit and what it cannot be understood without."""
        found = {index}
        unit = self._unit(index)
        if unit.parent >= 0:
            found |= self._closure(unit.parent)
        head = self._unit(unit.head) if unit.group >= 0 and unit.head >= 0 else None
        if head and head.role == "heading" and head.head >= 0:
            head = self._unit(head.head)
        if head and head.role == "sentence" and (head.opens or not unit.whole):
            found |= self._closure(head.index)
        if unit.leans and index > 0:
            before = self._unit(index - 1)
            if before.role in ("sentence", unit.role) and not before.opens and not before.empty:
                found |= self._closure(index - 1)
        return found


def _shares(question: Question, texts: Sequence[str], *, known: str = "") -> dict[Terms, float]:
    """Share of each term group in the question: rarer among the units is heavier, never found is out.

    What the title (`known`) names is the topic of every unit, so it tells them apart less.
    """
    weights: dict[Terms, float] = {}
    for terms in question.terms:
        count = sum(any(term in text for term in terms) for text in texts)
        if not count and len(terms) == 1 and len(terms[0]) >= 3 and not terms[0].isascii():
            terms = (terms[0][:2],)  # a compound or an inflected word: its root may be there
            count = sum(terms[0] in text for text in texts)
        if count:
            weights[terms] = math.log(1 + len(texts) / count)
            if any(term in known for term in terms):
                weights[terms] *= _KNOWN
    total = sum(weights.values())
    return {terms: weight / total for terms, weight in weights.items()}


def _found(shares: dict[Terms, float], text: str) -> dict[Terms, float]:
    return {terms: share for terms, share in shares.items() if any(term in text for term in terms)}


def _worth(told: Iterable[Aim]) -> float:
    return min(_TOLD_MOST, sum(_TOLD.get(aim, _TOLD_ELSE) for aim in told))


def _penalty(unit: Unit) -> float:
    return _PENALTIES.get(unit.role, 0.0) + 0.1 * (len(unit.text) > 160)
