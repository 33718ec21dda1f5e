"""Errors of the retrieval package.

    RetrievalError
    ├── CorpusError          a FAQ or expansion file cannot be used
    ├── EmbedderError        texts could not be embedded
    ├── IndexFailure          the vector store failed
    │   ├── IndexMissing     no index has been built
    │   ├── IndexMismatch    the index was built for other settings
    │   └── IndexUnavailable the vector store does not answer (retry may help)
    └── UnknownName          a name in the settings matches no implementation

Every message names the offending value and the way out.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


class RetrievalError(Exception):
    """Base class of what this package raises on purpose."""


class CorpusError(RetrievalError):
    """A corpus or expansion file cannot be used.

    Attributes:
        path: the file.
        reason: what is wrong with it.
        hint: how to mend it; may be empty.
    """

    def __init__(self, path: Path, reason: str, *, hint: str = "") -> None:
        self.path, self.reason, self.hint = path, reason, hint
        super().__init__(f"{path}: {reason}" + (f" {hint}" if hint else ""))


class EmbedderError(RetrievalError):
    """Texts could not be embedded (model files missing, endpoint failed)."""


class IndexFailure(RetrievalError):
    """Base class of vector store failures; `uri` says which store."""

    def __init__(self, uri: str, reason: str) -> None:
        self.uri, self.reason = uri, reason
        super().__init__(f"index {uri}: {reason}")


class IndexMissing(IndexFailure):
    """There is no index at this URI yet."""

    def __init__(
        self, uri: str, reason: str = "no index has been built; run `smartstore index build`"
    ) -> None:
        super().__init__(uri, reason)


class IndexMismatch(IndexFailure):
    """The index was built from another corpus, embedder, tokeniser or schema."""

    def __init__(self, uri: str, *, expected: str, found: str) -> None:
        self.expected, self.found = expected, found
        super().__init__(
            uri,
            f"was built as {found}, the settings need {expected}; run `smartstore index build`",
        )


class IndexUnavailable(IndexFailure):
    """The vector store does not answer; the same call may succeed later."""


class UnknownName(RetrievalError):
    """A name in the settings matches no implementation."""

    def __init__(self, kind: str, name: str, valid: Iterable[str]) -> None:
        self.kind, self.name, self.valid = kind, name, tuple(valid)
        super().__init__(f"unknown {kind} {name!r}; valid: {', '.join(self.valid)}")
