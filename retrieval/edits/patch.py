"""A patch: a build that is another one with some FAQs taken out and some put in.

It has a fingerprint, a record and an alias like any build, so that rollback and followers need to know
nothing of it; its collection holds the rows of the FAQs put in, and its record names the base.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from retrieval.corpus.faq import Corpus
from retrieval.edits.overlay import Overlay
from retrieval.embedders.base import Embedder, Embeddings
from retrieval.index.build import columns, known_rows, note_current, write_build
from retrieval.index.milvus_schema import check_sizes
from retrieval.index.milvus_store import MilvusStore
from retrieval.index.prepare import Known, Prepared, prepare
from retrieval.index.rows import BuildInfo, IndexRows, ViewText, fingerprint, view_texts
from retrieval.tokenizer import KoreanTokenizer


@dataclass(frozen=True)
class Patch:
    """What to write and to search.

    Attributes:
        info: the record of the build that results.
        rows: of the FAQs put in.
        views, prepared: what they are made of.
    """

    info: BuildInfo
    rows: IndexRows
    views: tuple[ViewText, ...]
    prepared: Prepared

    def known(self) -> Known:
        """What the next patch need not compute again."""
        hashes = [view.text_hash for view in self.views]
        vectors = self.prepared.vectors
        return Known(
            dict(zip(hashes, vectors.dense, strict=True)),
            dict(zip(hashes, vectors.sparse or (), strict=vectors.sparse is not None)),
            dict(zip(hashes, self.prepared.tokens, strict=True)),
        )


def read_known(uri: str, embedder: Embedder, tokenizer: KoreanTokenizer, *, token: str = "") -> Known:
    """What the patch in service has computed; nothing where a whole build is."""
    with MilvusStore(uri, token=token) as store:
        info = store.build()
        return known_rows(store, [info], embedder, tokenizer) if info.base else Known()


def make_patch(
    corpus: Corpus,
    expansions: Mapping[str, Sequence[str]],
    overlay: Overlay,
    base: BuildInfo,
    *,
    embedder: Embedder,
    tokenizer: KoreanTokenizer,
    known: Known | None = None,
) -> Patch:
    """The patch that makes `base` an index of `corpus`, which differs from it in the FAQs of `overlay` alone.

    What is `known` of the patch before is not computed again, so that the hundredth edit costs what the
    first one did.

    Raises:
        CorpusError: a FAQ is too long to be stored.
        EmbedderError: a text could not be embedded.
    """
    changed = tuple(faq for faq in corpus.faqs if faq.id in overlay)
    part = Corpus(changed, (), corpus.source, corpus.fingerprint)
    check_sizes(changed, corpus.source.name)
    views = tuple(view_texts(changed, expansions))
    if views:
        prepared = prepare(views, embedder, tokenizer, known or Known(), _silent)
    else:
        nothing = Embeddings(np.zeros((0, base.dim), np.float32), () if base.sparse else None)
        prepared = Prepared(nothing, (), 0)
    name = fingerprint(corpus.faqs, expansions, embedder=embedder.name, tokenizer=tokenizer.version)
    info = replace(
        base,
        fingerprint=name,
        faqs=len(corpus.faqs),
        rows=len(views),
        corpus=corpus.fingerprint,
        created=datetime.now(UTC).isoformat(timespec="microseconds"),
        base=base.fingerprint,
        base_rows=base.rows,
        removed=",".join(overlay),
    )
    return Patch(info, columns(views, prepared, part), views, prepared)


def write_patch(patch: Patch, uri: str, *, token: str = "") -> None:
    """Writes the patch beside its base and puts it into service; the build before is kept for a rollback.

    Raises:
        IndexUnavailable: Milvus failed; the build before stays in service.
    """
    info = patch.info
    with MilvusStore(uri, token=token) as store:
        statistics = store.statistics(info.base)
        hashes = [view.text_hash for view in patch.views]
        write_build(store, info, patch.rows, hashes, statistics=statistics)
        before = store.current()
        store.activate(info.fingerprint)
        store.prune([info.fingerprint, *([before] if before else [])])
    note_current(uri, info, patch.rows)


def _silent(step: str, done: int, total: int) -> None:
    """A patch is too small to tell of its progress."""
