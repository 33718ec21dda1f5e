"""Keeps the vectors of texts in files, so that a text is embedded once: not again for another index, nor for
another adapter, which is applied to what is remembered.

A number takes 8 bits, and a vector only its direction: the values are whole numbers from -127 to 127. Knows
texts and their two kinds; knows no FAQ.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from retrieval.embedders.adapter import AdaptedEmbedder, normalised
from retrieval.embedders.base import Embedder, Embeddings

SHIPPED = Path(__file__).resolve().parent.parent.parent / "configs" / "expansions"
_KEY_BYTES = 12

Codes = dict[bytes, NDArray[np.int8]]


class RememberingEmbedder:
    """An embedder that looks texts up before it embeds them; not for several threads at once.

    Learned lexical weights are not kept: what makes them is passed through.

    Attributes:
        codes: 8-bit vectors by `text_key`.
        learnt: how many were embedded and not found.
    """

    def __init__(self, inner: Embedder, codes: Codes, keep: Callable[[Codes], None] | None = None) -> None:
        """`codes` is extended as texts are embedded; `keep` is given what each batch adds."""
        self.inner, self.codes, self.learnt, self._keep = inner, codes, 0, keep
        self.name, self.dim = inner.name, inner.dim

    def embed_queries(self, texts: Sequence[str]) -> Embeddings:
        """Embeds questions."""
        return self._look_up("query", texts, self.inner.embed_queries)

    def embed_passages(self, texts: Sequence[str]) -> Embeddings:
        """Embeds passages."""
        return self._look_up("passage", texts, self.inner.embed_passages)

    def look_up(self, kind: Literal["query", "passage"], text: str) -> NDArray[np.float32] | None:
        """The vector of a text, before any adapter; None where it is not remembered."""
        code = self.codes.get(text_key(kind, text))
        return None if code is None else decoded(code[np.newaxis])[0]

    def codes_of(self, kind: Literal["query", "passage"], texts: Sequence[str]) -> Codes:
        """The 8-bit vectors of texts by their keys, embedded where they are not known."""
        for start in range(0, len(texts), 64):
            embed = self.inner.embed_queries if kind == "query" else self.inner.embed_passages
            self._look_up(kind, texts[start : start + 64], embed)
        return {key: self.codes[key] for key in (text_key(kind, text) for text in texts)}

    def _look_up(
        self, kind: str, texts: Sequence[str], embed: Callable[[Sequence[str]], Embeddings]
    ) -> Embeddings:
        keys = [text_key(kind, text) for text in texts]
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in self.codes}
        if missing:
            made = embed(list(missing.values()))
            if made.sparse is not None:
                return made if len(missing) == len(texts) else embed(texts)
            new = dict(zip(missing, encoded(made.dense), strict=True))
            self.codes.update(new)
            self.learnt += len(new)
            if self._keep is not None:
                self._keep(new)
        # What was embedded just now is decoded too: an index must not depend on what was known before.
        found = [self.codes[key] for key in keys]
        return Embeddings(decoded(np.stack(found)) if found else np.zeros((0, self.dim), np.float32))


@contextmanager
def remembered(embedder: Embedder, folder: Path, *, shipped: Path = SHIPPED) -> Iterator[Embedder]:
    """`embedder` with a memory: vectors that came with the repository, and those kept in `folder`.

    What is new is kept there batch by batch: a build that is interrupted, even killed, goes on from there.

    Args:
        embedder: with or without an adapter.
        folder: holds one file of vectors per embedder; created where it is missing.
        shipped: a folder, of which every `*.npz` of this embedder is read.
    """
    base = base_of(embedder)
    file = folder / file_name(base)
    journals = sorted(folder.glob(f".{file.name}.*.new"))
    kept = read_vectors(file, base)
    for path in journals:
        kept |= _read_journal(path, base.dim)
    codes = dict(kept)
    for path in sorted(shipped.glob("*.npz")):
        codes |= read_vectors(path, base)
    journal = folder / f".{file.name}.{os.getpid()}.new"
    memory = RememberingEmbedder(base, codes, lambda new: _append(journal, new))
    try:
        yield AdaptedEmbedder(memory, embedder.adapter) if isinstance(embedder, AdaptedEmbedder) else memory
    finally:
        if memory.learnt or journals:
            new = list(codes)[len(codes) - memory.learnt :]
            write_vectors(file, base.name, kept | {key: codes[key] for key in new})
        for path in {*journals, journal}:
            path.unlink(missing_ok=True)


def _append(journal: Path, codes: Codes) -> None:
    """Adds vectors to a file of records: a key, then a number a byte."""
    journal.parent.mkdir(parents=True, exist_ok=True)
    with journal.open("ab") as file:
        file.write(b"".join(key + code.tobytes() for key, code in codes.items()))


def _read_journal(path: Path, dim: int) -> Codes:
    """The whole records of such a file; what a kill cut short is left out."""
    size = _KEY_BYTES + dim
    try:
        data = path.read_bytes()
    except OSError:
        return {}
    records = [data[start : start + size] for start in range(0, len(data) - size + 1, size)]
    return {record[:_KEY_BYTES]: np.frombuffer(record[_KEY_BYTES:], np.int8) for record in records}


def base_of(embedder: Embedder) -> Embedder:
    """The embedder without its adapter."""
    return embedder.inner if isinstance(embedder, AdaptedEmbedder) else embedder


def file_name(embedder: Embedder) -> str:
    """What the file of an embedder's vectors is called."""
    return f"{re.sub(r'[^a-zA-Z0-9.-]+', '-', embedder.name)}.npz"


def text_key(kind: str, text: str) -> bytes:
    """Names a text and how it is embedded."""
    return hashlib.blake2b(f"{kind}\0{text}".encode(), digest_size=_KEY_BYTES).digest()


def encoded(vectors: NDArray[np.float32]) -> NDArray[np.int8]:
    """`(n, dim)` vectors in 8 bits; their length is lost."""
    largest = np.maximum(np.abs(vectors).max(axis=1, keepdims=True), np.float32(1e-12))
    codes: NDArray[np.int8] = np.rint(vectors * (127 / largest)).astype(np.int8)
    return codes


def decoded(codes: NDArray[np.int8]) -> NDArray[np.float32]:
    """The vectors of `codes`, L2-normalised."""
    return normalised(codes.astype(np.float32))


def read_vectors(path: Path, embedder: Embedder) -> Codes:
    """What `path` holds for this embedder; nothing where it is of another, missing or damaged."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            if json.loads(arrays["header"].tobytes())["embedder"] != embedder.name:
                return {}
            keys, codes = arrays["keys"], arrays["codes"]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return {}
    if codes.ndim != 2 or codes.shape[1] != embedder.dim or keys.shape != (len(codes), _KEY_BYTES):
        return {}
    return dict(zip(map(bytes, keys), codes.astype(np.int8), strict=True))


def write_vectors(path: Path, embedder: str, codes: Codes) -> None:
    """Replaces the file in one step.

    Raises:
        OSError: the folder is not writable.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    keys = np.frombuffer(b"".join(codes), np.uint8).reshape(-1, _KEY_BYTES)
    header = np.frombuffer(json.dumps({"embedder": embedder}).encode(), np.uint8)
    try:
        with draft.open("wb") as file:
            np.savez(file, header=header, keys=keys, codes=np.stack(list(codes.values())))
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
