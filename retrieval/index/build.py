"""Builds an index: a corpus in, a finished and checked collection behind the alias out.

Knows the order of the steps; does not know how vectors are made, how Milvus stores them, nor how anything
is searched later. The store is open only while it is read and written, not during the minutes in between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import perf_counter

from retrieval.corpus.faq import Corpus
from retrieval.embedders.base import Embedder
from retrieval.errors import IndexMissing
from retrieval.index.bm25 import Bm25Statistics
from retrieval.index.milvus_schema import PACKED, check_sizes, records, to_rows
from retrieval.index.milvus_store import MilvusStore, local_path
from retrieval.index.prepare import Known, Prepared, Progress, prepare
from retrieval.index.rows import SCHEMA, BuildInfo, IndexRows, ViewText, fingerprint, view_texts
from retrieval.index.snapshot import write_current, write_snapshot
from retrieval.tokenizer import KoreanTokenizer


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What a build did.

    Attributes:
        info: the record of the build that is now current.
        unchanged: the store already held this build; it was put into service if it was not.
        embedded: texts embedded now.
        reused: rows whose vector was taken over from the build before, or from an equal text.
        dropped: fingerprints of builds removed.
        seconds: duration of each step.
    """

    info: BuildInfo
    unchanged: bool = False
    embedded: int = 0
    reused: int = 0
    dropped: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)


class _Clock:
    """Seconds since the last mark, by step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = perf_counter()

    def mark(self, step: str) -> None:
        now = perf_counter()
        self.seconds[step] = now - self._last
        self._last = now


def _silent(step: str, done: int, total: int) -> None:
    """The progress callback of callers that have none."""


def build_index(
    corpus: Corpus,
    expansions: Mapping[str, Sequence[str]],
    embedder: Embedder,
    tokenizer: KoreanTokenizer,
    uri: str,
    *,
    progress: Progress = _silent,
    token: str = "",
) -> BuildReport:
    """Writes a build of `corpus`, checks it and moves the alias to it.

    The build before is kept for `rollback`, older ones are dropped. Texts that the current build
    already holds are not embedded again. A failure at any step leaves the current build in service.

    Args:
        corpus: the FAQs.
        expansions: other ways of asking, by FAQ id; those of unknown ids are left out.
        embedder: makes the vectors.
        tokenizer: makes the search terms.
        uri: a Milvus Lite file (created if missing) or a server's address.
        progress: told how far each step is.
        token: the server's credentials.

    Raises:
        CorpusError: a FAQ is too long to be stored.
        EmbedderError: texts could not be embedded.
        IndexUnavailable: Milvus failed, or the build does not find what was put into it.
    """
    clock = _Clock()
    name = fingerprint(corpus.faqs, expansions, embedder=embedder.name, tokenizer=tokenizer.version)
    views = view_texts(corpus.faqs, expansions)
    check_sizes(corpus.faqs, corpus.source.name)
    with MilvusStore(uri, token=token) as store:
        finished = {info.fingerprint: info for info in store.builds()}
        if name in finished:
            if store.current() != name:
                store.activate(name)
            note_current(uri, finished[name])
            return BuildReport(finished[name], unchanged=True)
        known = _known(store, embedder, tokenizer)
    clock.mark("read")
    prepared = prepare(views, embedder, tokenizer, known, progress)
    clock.mark("embed")
    info = _info(name, corpus, views, prepared, (embedder.name, tokenizer.version))
    rows = columns(views, prepared, corpus)
    with MilvusStore(uri, token=token) as store:
        write_build(store, info, rows, [view.text_hash for view in views], progress=progress)
        clock.mark("store")
        before = store.current()
        store.activate(name)
        dropped = store.prune([name, *([before] if before else [])])
    note_current(uri, info, rows)
    clock.mark("activate")
    reused = len(views) - prepared.embedded
    return BuildReport(info, False, prepared.embedded, reused, tuple(dropped), clock.seconds)


def rollback(uri: str, *, token: str = "") -> BuildInfo:
    """Puts the build before back into service; a second call undoes the first. Returns its record.

    Raises:
        IndexMissing: there is no other build to go back to.
        IndexUnavailable: Milvus failed.
    """
    with MilvusStore(uri, token=token) as store:
        current = store.current()
        others = [info for info in store.builds() if info.fingerprint != current]
        if not others:
            raise IndexMissing(uri, "there is no earlier build to go back to")
        store.activate(others[0].fingerprint)
    note_current(uri, others[0])
    return others[0]


def note_current(uri: str, info: BuildInfo, rows: IndexRows | None = None) -> None:
    """Tells beside a local index which build is current, with the snapshot of its rows."""
    path = local_path(uri)
    if path is not None:
        if rows is not None:
            write_snapshot(path, rows, info)
        write_current(path, info)


def _known(store: MilvusStore, embedder: Embedder, tokenizer: KoreanTokenizer) -> Known:
    try:
        info = store.build()
    except IndexMissing:
        return Known()
    whole = [store.build(info.base)] if info.base else []
    return known_rows(store, [*whole, info], embedder, tokenizer)


def known_rows(
    store: MilvusStore, builds: Sequence[BuildInfo], embedder: Embedder, tokenizer: KoreanTokenizer
) -> Known:
    """What the rows of `builds` hold for these models; the last one is the current build."""
    known, info = Known(), builds[-1]
    same = info.embedder == embedder.name, info.tokenizer == tokenizer.version
    if info.schema != SCHEMA or not any(same):
        return known
    for each in builds:
        stored = store.read(each, [*PACKED, "hashes"])
        rows = to_rows(stored, info)
        for n, text_hash in enumerate(hash for record in stored for hash in record["hashes"].split()):
            if same[0]:
                known.dense[text_hash] = rows.dense[n]
            if same[0] and rows.sparse is not None:
                known.sparse[text_hash] = rows.sparse[n]
            if same[1]:
                known.tokens[text_hash] = rows.tokens[n]
    return known


def _info(
    name: str, corpus: Corpus, views: Sequence[ViewText], prepared: Prepared, versions: tuple[str, str]
) -> BuildInfo:
    return BuildInfo(
        fingerprint=name,
        embedder=versions[0],
        tokenizer=versions[1],
        dim=prepared.vectors.dense.shape[1],
        sparse=prepared.vectors.sparse is not None,
        faqs=len(corpus.faqs),
        expansions=sum(view.view == "expansion" for view in views),
        rows=len(views),
        source=corpus.source.name,
        corpus=corpus.fingerprint,
        created=datetime.now(UTC).isoformat(timespec="microseconds"),
    )


def write_build(
    store: MilvusStore,
    info: BuildInfo,
    rows: IndexRows,
    hashes: Sequence[str],
    *,
    progress: Progress = _silent,
    statistics: Bm25Statistics | None = None,
) -> None:
    """Writes the rows and then the record of a build; `statistics` where they are not of its own rows.

    `hashes` are those of the rows' texts.
    """
    progress("store", 0, len(hashes))
    store.write(info, records(rows, hashes, source=info.source))
    store.finish(info, statistics or Bm25Statistics.of(rows.tokens))
    progress("store", len(hashes), len(hashes))


def columns(views: Sequence[ViewText], prepared: Prepared, corpus: Corpus) -> IndexRows:
    """The rows of these views as columns."""
    return IndexRows.of(views, vectors=prepared.vectors, tokens=prepared.tokens, faqs=corpus.by_id)
