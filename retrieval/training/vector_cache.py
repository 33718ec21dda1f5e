"""Keeps vectors and terms of texts between training runs, in one file. Knows no FAQ."""

from __future__ import annotations

import json
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from retrieval.index.prepare import Known


def read_known(path: Path) -> Known:
    """What the file holds; nothing where it is missing or damaged, as it can be made again."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            header = json.loads(arrays["header"].tobytes())
            dense = arrays["dense"]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return Known()
    tokens = {name: tuple(terms) for name, terms in header["tokens"].items()}
    return Known(dense=dict(zip(header["hashes"], dense, strict=True)), tokens=tokens)


def write_known(path: Path, known: Known) -> None:
    """Replaces the file.

    Raises:
        OSError: the folder is not writable.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    header = json.dumps({"hashes": list(known.dense), "tokens": known.tokens}, ensure_ascii=False)
    dense = np.stack(list(known.dense.values())) if known.dense else np.zeros((0, 0), np.float32)
    with path.open("wb") as file:
        np.savez(file, header=np.frombuffer(header.encode(), np.uint8), dense=dense)
