"""What an index holds: one row per view of a FAQ, the key that names a build, and its record.

Knows how a FAQ becomes rows and how a row is keyed; knows no store, no embedder and no scoring.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np
from numpy.typing import NDArray

from retrieval.corpus.faq import Faq
from retrieval.embedders.base import Embeddings
from retrieval.errors import IndexMismatch
from retrieval.index.base import View

SCHEMA = 3
ANSWER_CHARS = 200


@dataclass(frozen=True, slots=True)
class ViewText:
    """One way a FAQ is found.

    Attributes:
        key: primary key, `{faq_id}:{view}{n}`.
        faq_id: whose view it is.
        view: question, answer or expansion.
        text: what BM25 sees, in full.
    """

    key: str
    faq_id: str
    view: View
    text: str

    @property
    def embedded(self) -> str:
        """What the embedder sees: of an answer the beginning only.

        The time to embed grows with the length, and an answer says first what it is about.
        """
        return self.text[:ANSWER_CHARS] if self.view == "answer" else self.text

    @property
    def is_query(self) -> bool:
        """Whether the text is embedded as a question: an expansion is how somebody would ask."""
        return self.view == "expansion"

    @property
    def text_hash(self) -> str:
        """Changes with the text and the way it is embedded; equal hashes have equal vectors and terms."""
        kind = "answer" if self.view == "answer" else "query" if self.is_query else "passage"
        return hashlib.blake2b(f"{kind}\0{self.text}".encode(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class IndexRows:
    """Rows as columns, in no particular order.

    Attributes:
        keys, faq_ids, views: per row.
        dense: `(rows, dim)` float32, L2-normalised.
        tokens: BM25 terms per row.
        sparse: learned lexical weights per row, or None where BM25 is used.
        faqs: the FAQs by id.
    """

    keys: tuple[str, ...]
    faq_ids: tuple[str, ...]
    views: tuple[View, ...]
    dense: NDArray[np.float32]
    tokens: tuple[tuple[str, ...], ...]
    sparse: tuple[dict[int, float], ...] | None
    faqs: Mapping[str, Faq]

    @classmethod
    def of(
        cls,
        views: Sequence[ViewText],
        *,
        vectors: Embeddings,
        tokens: tuple[tuple[str, ...], ...],
        faqs: Mapping[str, Faq],
    ) -> IndexRows:
        """The rows of `views`, with the vectors and terms of each, in their order."""
        return cls(
            keys=tuple(view.key for view in views),
            faq_ids=tuple(view.faq_id for view in views),
            views=tuple(view.view for view in views),
            dense=vectors.dense,
            tokens=tokens,
            sparse=vectors.sparse,
            faqs=faqs,
        )


def view_texts(faqs: Iterable[Faq], expansions: Mapping[str, Sequence[str]]) -> list[ViewText]:
    """Returns every view of every FAQ; expansions of unknown ids are left out."""
    views: list[ViewText] = []
    for faq in faqs:
        views.append(_view(faq, "question", 0, faq.question))
        views.append(_view(faq, "answer", 0, faq.answer))
        views.extend(_view(faq, "expansion", n, text) for n, text in enumerate(expansions.get(faq.id, ())))
    return views


def _view(faq: Faq, view: View, n: int, text: str) -> ViewText:
    return ViewText(f"{faq.id}:{view}{n}", faq.id, view, text)


def faq_json(faq: Faq) -> str:
    """The FAQ as it is stored."""
    fields = [faq.id, faq.question, faq.answer, faq.categories, faq.related, faq.title]
    if faq.link or faq.date:  # left out otherwise: an index of before stays what it is
        fields += [faq.link, faq.date]
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))


def faq_from_json(text: str) -> Faq:
    """The inverse of `faq_json`."""
    id, question, answer, categories, related, title, *origin = json.loads(text)
    return Faq(id, question, answer, tuple(categories), tuple(related), title, *origin)


def fingerprint(
    faqs: Iterable[Faq], expansions: Mapping[str, Sequence[str]], *, embedder: str, tokenizer: str
) -> str:
    """Returns 16 hex digits that change with anything that changes the index."""
    faqs = tuple(faqs)
    digest = hashlib.blake2b(digest_size=8)
    for part in (str(SCHEMA), str(ANSWER_CHARS), embedder, tokenizer, *map(faq_json, faqs)):
        digest.update(part.encode() + b"\0")
    for faq in faqs:
        digest.update(json.dumps(list(expansions.get(faq.id, ()))).encode() + b"\0")
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class BuildInfo:
    """What a build was made of.

    Attributes:
        fingerprint: names the build.
        embedder, tokenizer: names with versions, as the index needs them at search time.
        dim: size of the dense vectors.
        sparse: whether learned lexical weights take the place of BM25.
        faqs, expansions, rows: how many.
        source: name of the corpus file.
        corpus: the corpus' own fingerprint.
        created: ISO 8601, UTC.
        schema: version of the stored layout.
        base: the build this one is a patch of; empty where it holds every row itself.
        base_rows: how many rows that one has.
        removed: ids of the base's FAQs that do not count, comma-separated.
    """

    fingerprint: str
    embedder: str
    tokenizer: str
    dim: int
    sparse: bool
    faqs: int
    expansions: int
    rows: int
    source: str
    corpus: str
    created: str
    schema: int = SCHEMA
    base: str = ""
    base_rows: int = 0
    removed: str = ""

    def to_json(self) -> str:
        """The record as JSON."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> BuildInfo:
        """The inverse; what another version of the layout adds is left out."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in json.loads(text).items() if name in known})

    @property
    def removed_ids(self) -> frozenset[str]:
        """Ids of the base's FAQs that do not count."""
        return frozenset(filter(None, self.removed.split(",")))

    def check(self, uri: str, *, embedder: str, tokenizer: str, fingerprint: str | None = None) -> None:
        """Compares the build with what the settings need.

        Args:
            uri: of the index, for the message.
            embedder: name of the embedder in use.
            tokenizer: version of the tokenizer in use.
            fingerprint: the build the settings' corpus would give, where it is known.

        Raises:
            IndexMismatch: the build does not fit; the message names the command that mends it.
        """
        pairs = [
            ("layout", str(self.schema), str(SCHEMA)),
            ("embedder", self.embedder, embedder),
            ("tokenizer", self.tokenizer, tokenizer),
            ("build", self.fingerprint, fingerprint or self.fingerprint),
        ]
        for what, found, expected in pairs:
            if found != expected:
                raise IndexMismatch(uri, expected=f"{what} {expected}", found=f"{what} {found}")
