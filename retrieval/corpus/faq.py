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

from retrieval.corpus.cleaning import clean_answer, clean_title
from retrieval.corpus.rows import Row, read_bytes, read_rows
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
        title: the question exactly as in the file.
    """

    id: str
    question: str
    answer: str
    categories: tuple[str, ...]
    related: tuple[str, ...]
    title: str

    @property
    def body_question(self) -> str:
        """The question without its leading bracket tags."""
        return _split_tags(self.question)[1]


@dataclass(frozen=True)
class Corpus:
    """The FAQs of one file.

    Attributes:
        faqs: in the order of the file, ids unique and questions distinct.
        duplicates: questions that occurred again and were left out.
        source: the file.
        fingerprint: 32 hex digits over ids, questions and answers in order.
    """

    faqs: tuple[Faq, ...]
    duplicates: tuple[str, ...]
    source: Path
    fingerprint: str

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


def read_corpus(path: Path, *, max_bytes: int = MAX_BYTES) -> Corpus:
    """Reads and cleans a FAQ file.

    `.pkl` is a pickled dict of question to answer, `.jsonl` has `question`, `answer` and optionally
    `categories` and `related` per line, `.csv` the same as columns, lists separated by `;`. Other keys
    and columns are ignored.

    Args:
        path: the file.
        max_bytes: the largest file accepted.

    Raises:
        CorpusError: the file cannot be used; the message names the fault and the way out.
    """
    rows = read_rows(read_bytes(path, max_bytes), path)
    faqs: dict[str, Faq] = {}
    duplicates: list[str] = []
    for row in rows:
        faq = _faq(row, path)
        if faq.id in faqs:
            duplicates.append(faq.question)
        else:
            faqs[faq.id] = faq
    if not faqs:
        raise CorpusError(path, "holds no FAQ.", hint="It needs at least one question with its answer.")
    kept = tuple(faqs.values())
    return Corpus(kept, tuple(duplicates), path, _fingerprint(kept))


def _faq(row: Row, path: Path) -> Faq:
    try:
        id = faq_id(row.question)
        row.answer.encode()
        "".join(row.categories + row.related).encode()
    except UnicodeEncodeError as exc:
        reason = f"{row.place} holds a lone surrogate, which is no character."
        raise CorpusError(path, reason, hint="Save the file again from the original text.") from exc
    question, answer = clean_title(row.question), clean_answer(row.answer)
    for name, text in (("question", question), ("answer", answer.text)):
        if not text:
            reason = f"{row.place}: the {name} is empty."
            raise CorpusError(path, reason, hint="Fill it in, or leave the entry out.")
    given = (clean_title(item) for item in row.related)
    related = tuple(dict.fromkeys(item for item in (*given, *answer.related) if item))
    categories = tuple(filter(None, map(clean_title, row.categories))) or _split_tags(question)[0]
    return Faq(id, question, answer.text, categories, related, row.question)


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
