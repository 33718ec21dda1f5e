"""The FAQ corpus: what a FAQ is, its stable id, and reading it from a file.

Knows cleaning and file formats through their modules; does not know embeddings, indexes or expansions.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

from retrieval.corpus.cleaning import clean_answer, clean_title, tidy_answer
from retrieval.corpus.origin import read_date, read_link
from retrieval.corpus.rows import (
    MAX_CHARS,
    MAX_ROWS,
    Faults,
    Row,
    composed,
    jsonl_rows,
    pickle_rows,
    read_bytes,
)
from retrieval.corpus.tables import csv_rows, xlsx_rows
from retrieval.errors import CorpusError

MAX_BYTES = 64 * 1024 * 1024
_TAGS = re.compile(r"(?:\s*\[[^\[\]]*\])+")
_TAG = re.compile(r"\[([^\[\]]*)\]")


@dataclass(frozen=True, slots=True)
class Faq:
    """One question with its answer, ready to be read.

    Attributes:
        id: 12 hex digits, see `faq_id`.
        question: the title without invisible characters; bracket tags kept, as they name products.
        answer: cleaned, in lines, see `cleaning.clean_answer`.
        categories: the leading bracket tags, or those the file gives.
        related: related questions and keywords, as the site lists them.
        title: the question as in the file, composed (NFC).
        link, date: where it was published, and the day of its last change (2026-03-02); often empty.
    """

    id: str
    question: str
    answer: str
    categories: tuple[str, ...]
    related: tuple[str, ...]
    title: str
    link: str = ""
    date: str = ""

    @property
    def body_question(self) -> str:
        """The question without its leading bracket tags."""
        return _split_tags(self.question)[1]


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A question that occurred again; its second answer is not served."""

    question: str
    kept: str
    left_out: str
    differs: bool

    def __str__(self) -> str:
        answers = "with another answer" if self.differs else "with the same answer"
        return f"{self.question} ({self.kept} is kept; {self.left_out}, {answers}, is left out)"


@dataclass(frozen=True)
class Corpus:
    """The FAQs of one file.

    Attributes:
        faqs: in the order of the file, ids unique and questions distinct.
        duplicates: questions that occurred again and were left out.
        source: the file.
        fingerprint: 32 hex digits over ids, questions and answers in order.
        ignored: names of columns that mean nothing here.
    """

    faqs: tuple[Faq, ...]
    duplicates: tuple[Duplicate, ...]
    source: Path
    fingerprint: str
    ignored: tuple[str, ...] = ()

    @cached_property
    def by_id(self) -> Mapping[str, Faq]:
        """FAQ by id."""
        return MappingProxyType({faq.id: faq for faq in self.faqs})

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {faq.id: row for row, faq in enumerate(self.faqs)}

    @cached_property
    def _by_question(self) -> dict[str, Faq]:
        return {_match_key(faq.question): faq for faq in reversed(self.faqs)}

    def row_of(self, id: str) -> int:
        """Position of a FAQ in `faqs`; raises KeyError for an unknown id."""
        return self._rows[id]

    def find_question(self, question: str) -> Faq | None:
        """The FAQ with this question, whatever its spacing, e.g. for an entry of `related`."""
        return self._by_question.get(_match_key(clean_title(question)))


def faq_id(question: str) -> str:
    """Returns the id of a raw title: 12 hex digits, the same in every run and on every machine."""
    normal = " ".join(unicodedata.normalize("NFKC", question).split())
    return hashlib.blake2b(normal.encode(), digest_size=6).hexdigest()


def read_corpus(path: Path, *, max_bytes: int = MAX_BYTES, clean: bool | None = None) -> Corpus:
    """Reads a FAQ file.

    `.pkl` is a pickled dict of question to answer, as crawled. `.jsonl` has `question`, `answer` and
    optionally `id`, `categories`, `related`, `link` and `date` per line; `.csv` and `.xlsx` the same as
    columns, named in English or Korean, lists separated by `;`. Other keys and columns are ignored.

    Args:
        path: the file.
        max_bytes: the largest file accepted.
        clean: whether to take the help site's frame off and to break run-on lines (`cleaning.py`); by
            default only for a `.pkl`. Other files are taken as they are, but for invisible characters.

    Raises:
        CorpusError: the file cannot be used; the message names every fault and the way out.
    """
    suffix = path.suffix.lower()
    readers = {".pkl": pickle_rows, ".pickle": pickle_rows, ".jsonl": jsonl_rows, ".csv": csv_rows,
               ".tsv": csv_rows, ".xlsx": xlsx_rows}  # fmt: skip
    data, faults = read_bytes(path, max_bytes), Faults()
    if suffix not in readers:
        raise CorpusError(
            path, f"has an unknown suffix {suffix!r}.", hint="Valid: .pkl, .jsonl, .csv, .xlsx."
        )
    rows = readers[suffix](data, path, faults)
    if len(rows) > MAX_ROWS or sum(len(row.question) + len(row.answer) for row in rows) > MAX_CHARS:
        raise CorpusError(path, f"unfolds to {len(rows):,} entries, too much to serve.", hint="Split it.")
    cleaned = suffix in (".pkl", ".pickle") if clean is None else clean
    faqs: dict[str, tuple[Faq, Row]] = {}
    duplicates: list[Duplicate] = []
    for row in map(composed, rows):
        if (faq := _faq(row, faults, clean=cleaned)) is None:
            continue
        if faq.id in faqs:
            kept, first = faqs[faq.id]
            differs = kept.answer != faq.answer
            duplicates.append(Duplicate(faq.question, first.place, row.place, differs))
        else:
            faqs[faq.id] = (faq, row)
    faults.check(path)
    if not faqs:
        raise CorpusError(path, "holds no FAQ.", hint="It needs at least one question with its answer.")
    every = tuple(faq for faq, _ in faqs.values())
    return Corpus(every, tuple(duplicates), path, _fingerprint(every), tuple(faults.ignored))


def _faq(row: Row, faults: Faults, *, clean: bool) -> Faq | None:
    """The FAQ of a row; None, and a fault noted, where it cannot be used."""
    try:
        id = row.id or faq_id(row.question)
        "".join((row.answer, *row.categories, *row.related)).encode()
    except UnicodeEncodeError:
        faults.add(f"{row.place} holds a lone surrogate, which is no character")
        return None
    question = clean_title(row.question)
    answer = clean_answer(row.answer) if clean else tidy_answer(row.answer)
    empty = [name for name, text in (("question", question), ("answer", answer.text)) if not text]
    for name in empty:
        faults.add(f"{row.place}: the {name} is empty")
    if empty:
        return None
    given = (clean_title(item) for item in row.related)
    related = tuple(dict.fromkeys(item for item in (*given, *answer.related) if item))
    categories = tuple(filter(None, map(clean_title, row.categories))) or _split_tags(question)[0]
    try:
        link, date = read_link(row.link), read_date(row.date)
    except ValueError as exc:
        faults.add(f"{row.place}: {exc}")
        return None
    return Faq(id, question, answer.text, categories, related, row.question, link, date)


def _split_tags(question: str) -> tuple[tuple[str, ...], str]:
    match = _TAGS.match(question)
    if match is None:
        return (), question
    tags = tuple(tag for raw in _TAG.findall(match[0]) if (tag := raw.strip()))
    return tags, question[match.end() :].strip() or question


def _match_key(question: str) -> str:
    return "".join(unicodedata.normalize("NFKC", question).split())


def _fingerprint(faqs: tuple[Faq, ...]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for faq in faqs:
        for part in (faq.id, faq.question, faq.answer):
            raw = part.encode()
            digest.update(len(raw).to_bytes(8, "big") + raw)
    return digest.hexdigest()
