"""Files beside a local index: which build is current, and its rows ready to be loaded.

They let a server start, and look for a new build, without opening the Milvus Lite file, which one process
at a time may have open. Both are derived from the store and may be deleted at any time. Knows files only.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from retrieval.index.rows import BuildInfo, IndexRows, faq_from_json, faq_json
from retrieval.offers.known import Offers


def read_current(path: Path) -> BuildInfo | None:
    """The build that is current by the file beside `path`; None where there is none or it is unreadable."""
    try:
        return BuildInfo.from_json(_current_file(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def write_current(path: Path, info: BuildInfo) -> None:
    """Replaces that file in one step; what lies here of other builds than it and its base is deleted."""
    with _replacing(_current_file(path)) as file:
        file.write(info.to_json().encode())
    builds = (info.fingerprint, info.base)
    kept = {file(path, build) for build in builds for file in (_snapshot_file, _offers_file)}
    for pattern in ("*.npz", "*.offers.json"):
        for old in set(path.parent.glob(f"{path.name}.{pattern}")) - kept:
            old.unlink(missing_ok=True)


def write_snapshot(path: Path, rows: IndexRows, info: BuildInfo) -> None:
    """Writes all rows of a build into one file.

    Raises:
        OSError: the folder is not writable, or full.
    """
    columns = {
        "keys": rows.keys,
        "faq_ids": rows.faq_ids,
        "views": rows.views,
        "tokens": [" ".join(tokens) for tokens in rows.tokens],
        "sparse": rows.sparse and [list(weights.items()) for weights in rows.sparse],
        "faqs": [faq_json(faq) for faq in rows.faqs.values()],
    }
    text = np.frombuffer(json.dumps(columns, ensure_ascii=False).encode(), np.uint8)
    target = _snapshot_file(path, info.fingerprint)
    with _replacing(target) as file:
        np.savez(file, dense=rows.dense, columns=text)


def read_snapshot(path: Path, info: BuildInfo) -> IndexRows | None:
    """The rows of a build; None where there is no snapshot of it, or a damaged one."""
    try:
        source = _snapshot_file(path, info.fingerprint)
        with source.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            dense: NDArray[np.float32] = arrays["dense"]
            columns = json.loads(arrays["columns"].tobytes())
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None
    if dense.shape != (info.rows, info.dim):
        return None
    faqs = [faq_from_json(text) for text in columns["faqs"]]
    sparse = columns["sparse"]
    return IndexRows(
        keys=tuple(columns["keys"]),
        faq_ids=tuple(columns["faq_ids"]),
        views=tuple(columns["views"]),
        dense=dense,
        tokens=tuple(tuple(text.split()) for text in columns["tokens"]),
        sparse=tuple(dict(weights) for weights in sparse) if sparse is not None else None,
        faqs={faq.id: faq for faq in faqs},
    )


def write_offers(path: Path, fingerprint: str, offers: Offers) -> None:
    """Writes what the titles of a build find.

    Raises:
        OSError: the folder is not writable, or full.
    """
    with _replacing(_offers_file(path, fingerprint)) as file:
        file.write(offers.to_json().encode())


def read_offers(path: Path, fingerprint: str) -> Offers | None:
    """The inverse; None where there is no such file, or a damaged one."""
    try:
        return Offers.from_json(_offers_file(path, fingerprint).read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError, LookupError):
        return None


def _current_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.current")


def _snapshot_file(path: Path, fingerprint: str) -> Path:
    return path.with_name(f"{path.name}.{fingerprint}.npz")


def _offers_file(path: Path, fingerprint: str) -> Path:
    return path.with_name(f"{path.name}.{fingerprint}.offers.json")


@contextmanager
def _replacing(target: Path) -> Iterator[IO[bytes]]:
    """A file that takes the place of `target` in one step, once it is written in full."""
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with draft.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, target)
    finally:
        draft.unlink(missing_ok=True)
