"""The record of one build of an index. Knows no store."""

from __future__ import annotations

from dataclasses import dataclass

from retrieval.errors import IndexMismatch
from retrieval.index.rows import SCHEMA


@dataclass(frozen=True, slots=True)
class BuildInfo:
    """What a build was made of.

    Attributes:
        fingerprint: names the build.
        embedder, tokenizer: names with versions, as the index needs them at search time.
        dim: size of the dense vectors.
        sparse: whether learned lexical weights take the place of BM25.
        faqs, expansions, rows: how many.
        rows_per_faq: the most rows one FAQ has in one view.
        source: name of the corpus file.
        corpus: the corpus' own fingerprint.
        created: ISO 8601, UTC.
        schema: version of the stored layout.
    """

    fingerprint: str
    embedder: str
    tokenizer: str
    dim: int
    sparse: bool
    faqs: int
    expansions: int
    rows: int
    rows_per_faq: int
    source: str
    corpus: str
    created: str
    schema: int = SCHEMA

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
