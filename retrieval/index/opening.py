"""Opens the current build of an index for searching, and tells which one is current.

Knows when a snapshot will do and when Milvus itself must search; does not build, search or rank.
Imports pymilvus only where the store itself has to be opened.
"""

from __future__ import annotations

import logging

from retrieval.errors import IndexMissing
from retrieval.index.memory import MemoryIndex
from retrieval.index.milvus import MilvusIndex, read_rows
from retrieval.index.milvus_store import MilvusStore, local_path
from retrieval.index.rows import BuildInfo
from retrieval.index.snapshot import read_current, read_snapshot, write_current, write_snapshot

_log = logging.getLogger(__name__)


def index_info(uri: str, *, token: str = "") -> BuildInfo:
    """The record of the current build; does not open a local file that has a note beside it.

    Raises:
        IndexMissing: nothing has been built.
        IndexUnavailable: the store does not answer.
    """
    path = local_path(uri)
    if path is not None:
        if not path.exists():
            raise IndexMissing(uri)
        if info := read_current(path):
            return info
    with MilvusStore(uri, token=token) as store:
        return store.build()


def current_fingerprint(uri: str, *, token: str = "") -> str | None:
    """Which build is current, None where there is none: cheap enough to ask every few seconds.

    Raises:
        IndexUnavailable: the store does not answer.
    """
    try:
        return index_info(uri, token=token).fingerprint
    except IndexMissing:
        return None


def open_index(
    uri: str,
    *,
    embedder: str,
    tokenizer: str,
    token: str = "",
    fingerprint: str | None = None,
    snapshot_max_faqs: int = 50_000,
) -> MemoryIndex | MilvusIndex:
    """Opens the current build.

    Up to `snapshot_max_faqs` FAQs it is held in memory and the store is closed again; above, Milvus
    answers every search and a local file stays open.

    Args:
        uri: a Milvus Lite file or a server's address.
        embedder: name of the embedder that will embed the questions.
        tokenizer: version of the tokenizer that will split them.
        token: the server's credentials.
        fingerprint: the build that the settings' corpus gives, if the index must be of that corpus.
        snapshot_max_faqs: see above.

    Raises:
        IndexMissing: nothing has been built.
        IndexMismatch: it was built for other settings.
        IndexUnavailable: the store does not answer.
    """
    info = index_info(uri, token=token)
    info.check(uri, embedder=embedder, tokenizer=tokenizer, fingerprint=fingerprint)
    path = local_path(uri)
    in_memory = info.faqs <= snapshot_max_faqs
    if in_memory and path is not None and (rows := read_snapshot(path, info)):
        return MemoryIndex(rows, fingerprint=info.fingerprint)
    store = MilvusStore(uri, token=token)
    try:
        info = store.build()
        info.check(uri, embedder=embedder, tokenizer=tokenizer, fingerprint=fingerprint)
        if not in_memory:
            return MilvusIndex(store, info)
        rows = read_rows(store, info)
    except BaseException:
        store.close()
        raise
    store.close()
    if path is not None:
        try:
            write_snapshot(path, rows, info)
            write_current(path, info)
        except OSError as exc:
            _log.warning("no snapshot beside %s, the next start takes longer: %s", path, exc)
    return MemoryIndex(rows, fingerprint=info.fingerprint)
