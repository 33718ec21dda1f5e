"""Writes a corpus as a file that people edit, and keeps a clean copy of a crawl so that it is cleaned once.

Knows where copies lie and what makes one stale; does not know how cleaning works.
"""

from __future__ import annotations

import csv
import hashlib
import inspect
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path

from retrieval.corpus import cleaning, line_breaks, list_markers, site_links
from retrieval.corpus.faq import MAX_BYTES, Corpus, Faq, read_corpus
from retrieval.corpus.rows import read_bytes
from retrieval.errors import CorpusError

# As `tables.py` reads them.
COLUMNS = ("id", "question", "answer", "categories", "related", "link", "date")


def write_corpus(corpus: Corpus, path: Path) -> None:
    """Writes the FAQs as `.jsonl`, or as `.csv` that Excel opens (UTF-8 with a byte order mark).

    The ids are written too: what is keyed by them (expansions, feedback) stays where a title is edited.

    Raises:
        CorpusError: another suffix, or the folder cannot be written.
    """
    if path.suffix.lower() not in (".jsonl", ".csv"):
        raise CorpusError(path, f"has the suffix {path.suffix!r}.", hint="Write .jsonl or .csv.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", dir=path.parent, suffix=path.suffix, encoding="utf-8", newline="", delete=False
        ) as file:
            if path.suffix.lower() == ".jsonl":
                file.writelines(json.dumps(_object(faq), ensure_ascii=False) + "\n" for faq in corpus.faqs)
            else:
                file.write("\ufeff")
                csv.writer(file).writerows([COLUMNS, *map(cells, corpus.faqs)])
        os.chmod(file.name, 0o644)
        os.replace(file.name, path)
    except OSError as exc:
        reason = f"cannot be written ({exc.strerror})."
        raise CorpusError(path, reason, hint="Check the folder and its permissions.") from exc


def read_clean(path: Path, folder: Path) -> Corpus:
    """Reads a FAQ file; of a crawl (`.pkl`) its clean copy in `folder`, made where there is none.

    A copy is named after the crawl's bytes and the cleaning code, so that neither can grow stale. What is
    read is always the copy: an index of the crawl as first read would be another than later readers expect.

    Raises:
        CorpusError: as `read_corpus` does. A folder that cannot be written costs only the time to clean.
    """
    if path.suffix.lower() not in (".pkl", ".pickle"):
        return read_corpus(path)
    digest = hashlib.blake2b(read_bytes(path, MAX_BYTES), digest_size=12)
    for module in (cleaning, line_breaks, list_markers, site_links):
        digest.update(inspect.getsource(module).encode())
    copy = folder / f"{digest.hexdigest()}.jsonl"
    if copy.is_file():
        try:
            return replace(read_corpus(copy), source=path)
        except CorpusError:
            copy.unlink(missing_ok=True)  # damaged: written anew below
    corpus = read_corpus(path)
    if corpus.duplicates:  # a copy could not tell of them
        return corpus
    try:
        write_corpus(corpus, copy)
        return replace(read_corpus(copy), source=path)
    except CorpusError:
        return corpus


def cells(faq: Faq) -> list[str]:
    """The FAQ as one text for each of `COLUMNS`."""
    values = [getattr(faq, name) for name in COLUMNS]
    return [value if isinstance(value, str) else "; ".join(value) for value in values]


def _object(faq: Faq) -> dict[str, object]:
    values = {name: getattr(faq, name) for name in COLUMNS}
    return {name: value for name, value in values.items() if value or name not in ("link", "date")}
