"""Opens the current build of an index for searching, and tells which one is current.

Knows when a snapshot will do and when Milvus itself must search; does not build, search or rank.
Imports pymilvus only where the store itself has to be opened.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from retrieval.edits.patched import PatchedIndex
from retrieval.errors import IndexMissing
from retrieval.index.base import FaqIndex
from retrieval.index.memory import MemoryIndex
from retrieval.index.milvus import MilvusIndex, read_rows
from retrieval.index.milvus_store import MilvusStore, local_path
from retrieval.index.rows import BuildInfo, IndexRows
from retrieval.index.snapshot import (
    read_current,
    read_offers,
    read_snapshot,
    write_current,
    write_offers,
    write_snapshot,
)
from retrieval.offers.known import Offers

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
    loaded: FaqIndex | None = None,
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
        loaded: an index that is open already: what the current build has in common with it is not read.

    Raises:
        IndexMissing: nothing has been built.
        IndexMismatch: it was built for other settings.
        IndexUnavailable: the store does not answer.
    """
    info = index_info(uri, token=token)
    info.check(uri, embedder=embedder, tokenizer=tokenizer, fingerprint=fingerprint)
    path = local_path(uri)
    in_memory = info.faqs <= snapshot_max_faqs
    if in_memory and path is not None:
        wanted = [info] if _base_in(loaded, info) or not info.base else [info, _base_info(info)]
        read = [rows for each in wanted if (rows := read_snapshot(path, each))]
        if len(read) == len(wanted):
            offers = read_offers(path, info.base or info.fingerprint)
            return _in_memory(info, offers, read[0], *read[1:], loaded=loaded)
    store = MilvusStore(uri, token=token)
    try:
        info = store.build()
        info.check(uri, embedder=embedder, tokenizer=tokenizer, fingerprint=fingerprint)
        if not in_memory:
            return MilvusIndex(store, info)
        rows = read_rows(store, info)
        base = read_rows(store, _base_info(info)) if info.base else None
        offers = store.offers(info.base or info.fingerprint)
    except BaseException:
        store.close()
        raise
    store.close()
    if path is not None:
        _keep(path, info, rows, base, offers)
    return _in_memory(info, offers, rows, base, loaded=loaded)


def _keep(
    path: Path, info: BuildInfo, rows: IndexRows, base: IndexRows | None, offers: Offers | None
) -> None:
    """Lays beside a local store what the next start needs, if it can."""
    try:
        write_snapshot(path, rows, info)
        if base is not None:
            write_snapshot(path, base, _base_info(info))
        if offers is not None:
            write_offers(path, info.base or info.fingerprint, offers)
        write_current(path, info)
    except OSError as exc:
        _log.warning("no snapshot beside %s, the next start takes longer: %s", path, exc)


def known_offers(uri: str, index: FaqIndex, *, token: str = "") -> Offers | None:
    """What the titles of the build `index` find, where that has become known since it was opened.

    Raises:
        IndexUnavailable: the store does not answer.
    """
    path = local_path(uri)
    if path is not None:
        return read_offers(path, index.fingerprint)
    with MilvusStore(uri, token=token) as store:
        return store.offers(index.fingerprint)


def note_offers(uri: str, info: BuildInfo, offers: Offers, *, token: str = "") -> None:
    """Stores with a build what its titles find, and beside a local one.

    Raises:
        IndexUnavailable: the store does not answer.
    """
    with MilvusStore(uri, token=token) as store:
        store.note_offers(info.fingerprint, offers)
    path = local_path(uri)
    if path is not None:
        write_offers(path, info.fingerprint, offers)


def _in_memory(
    info: BuildInfo,
    offers: Offers | None,
    rows: IndexRows,
    base: IndexRows | None = None,
    *,
    loaded: FaqIndex | None,
) -> MemoryIndex:
    """The build in memory, over the base that is loaded already where it is that of a patch."""
    if not info.base:
        index = MemoryIndex(rows, fingerprint=info.fingerprint)
        index.offers = offers
        return index
    whole = _base_in(loaded, info)
    if whole is None:
        assert base is not None
        whole = MemoryIndex(base, fingerprint=info.base)
    whole.offers = whole.offers or offers
    return PatchedIndex(whole, info.removed_ids, rows, fingerprint=info.fingerprint)


def _base_in(loaded: FaqIndex | None, info: BuildInfo) -> MemoryIndex | None:
    if isinstance(loaded, PatchedIndex):
        loaded = loaded.base
    same = isinstance(loaded, MemoryIndex) and bool(info.base) and loaded.fingerprint == info.base
    return loaded if same and isinstance(loaded, MemoryIndex) else None


def _base_info(info: BuildInfo) -> BuildInfo:
    """What is needed of a patch's base to read its rows."""
    return replace(info, fingerprint=info.base, rows=info.base_rows, base="", removed="")
