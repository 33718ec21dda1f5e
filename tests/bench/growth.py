"""python -m tests.bench.growth --faq FILE: how build, memory and search grow with the corpus.

The figures of docs/scale.md.

Corpora of the sizes named are made out of the FAQ (`corpora.py`) and searched by the snapshot in memory and
by a Milvus server (`milvus-lite server`, or a cluster by `--uri`), each in processes of their own. What the
snapshot finds is exact: Milvus' recall@10 is against it, ranker included.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from api.settings import CONFIGS
from retrieval.embedders.base import Embeddings
from retrieval.index import milvus_schema
from retrieval.index.base import FaqIndex
from retrieval.index.build import write_build
from retrieval.index.memory import MemoryIndex
from retrieval.index.milvus import MilvusIndex
from retrieval.index.milvus_store import MilvusStore
from retrieval.index.prepare import Prepared
from retrieval.index.rows import BuildInfo, IndexRows, ViewText, faq_json
from retrieval.index.snapshot import read_current, read_snapshot
from retrieval.ranking.ranker import Ranker, Weights
from retrieval.search import DEPTH
from tests.bench.corpora import grow, queries
from tests.bench.load import cpu_seconds
from tests.cluster.servers import Milvus
from tests.cluster.stack import ROOT, rss_mb

_QUERIES, _TOP = 60, 10
INDEXES = ("memory", "milvus", "milvus-fit")
RESULTS = ROOT / "var" / "growth"


@dataclass
class Measured:
    """One corpus in one index.

    Attributes:
        index: memory or milvus.
        faqs, rows: of the corpus.
        build_s: from rows with vectors to an index that answers.
        cpu_s: of this process meanwhile.
        mb: resident memory of this process with the index, less that without.
        server_mb: of the server.
        p50_ms, p95_ms: of a search with its ranking, without embedding.
        cpu_ms, server_cpu_ms: of one, in this process and in the server.
        found: how often the FAQ that the question was made from is among the first ten.
        recall: of the exact first ten.
        dense_index: what Milvus searches the vectors with.
    """

    index: str
    faqs: int
    rows: int
    build_s: float
    cpu_s: float
    mb: float
    server_mb: float
    p50_ms: float
    p95_ms: float
    cpu_ms: float
    server_cpu_ms: float
    found: float
    recall: float
    dense_index: str = ""


def base_rows(faq: Path) -> IndexRows:
    """The rows of the FAQ's own index, which is built once: minutes for thousands of FAQs."""
    index = RESULTS / faq.stem / "faq.db"
    environment = {
        "SMARTSTORE_CORPUS__FAQ": str(faq.resolve()),
        "SMARTSTORE_INDEX__URI": str(index),
        "SMARTSTORE_DATA_DIR": str(RESULTS / "data"),
    }
    if read_current(index) is None:
        command = [sys.executable, "-m", "api.cli", "index", "build"]
        subprocess.run(command, cwd=ROOT, env=os.environ | environment, check=True)
    info = read_current(index)
    rows = read_snapshot(index, info) if info else None
    if rows is None:
        raise RuntimeError(f"no snapshot beside {index}")
    return rows


def measure(kind: str, make: Callable[[], IndexRows], uri: str, server_pid: int) -> Measured:
    """Builds the index of these rows and searches it."""
    before, rows = rss_mb(os.getpid()), make()
    exact = RESULTS / f"exact-{len(rows.faqs)}.json"
    asked = list(queries(rows, _QUERIES))
    clock, cpu = time.perf_counter(), time.process_time()
    index = _memory(rows) if kind == "memory" else _milvus(rows, uri)
    build_s, cpu_s = time.perf_counter() - clock, time.process_time() - cpu
    count, size = len(rows.faqs), len(rows.keys)
    # What built it is not needed to search it.
    del rows
    gc.collect()
    ranker = Ranker(Weights.load(CONFIGS / "ranking" / "e5-small.json"))
    for _, query in asked[:5]:
        index.candidates(query, limit=DEPTH)
    took, firsts = [], []
    clocks = time.process_time(), cpu_seconds([server_pid]) if server_pid else 0.0
    for _, query in asked:
        started = time.perf_counter()
        hits = ranker.rank(query, index.candidates(query, limit=DEPTH))[:_TOP]
        took.append((time.perf_counter() - started) * 1000)
        firsts.append([hit.faq.id for hit in hits])
    cpu_ms = (time.process_time() - clocks[0]) / len(asked) * 1000
    server_ms = ((cpu_seconds([server_pid]) if server_pid else 0.0) - clocks[1]) / len(asked) * 1000
    if kind == "memory":
        exact.write_text(json.dumps(firsts))
    known = json.loads(exact.read_text()) if exact.exists() else None
    recalls = [len(set(a) & set(b)) / len(b) for a, b in zip(firsts, known, strict=True)] if known else []
    return Measured(
        kind, count, size, build_s, cpu_s, rss_mb(os.getpid()) - before,
        rss_mb(server_pid) if server_pid else 0.0,
        float(np.percentile(took, 50)), float(np.percentile(took, 95)), cpu_ms, server_ms,
        float(np.mean([id in first for (id, _), first in zip(asked, firsts, strict=True)])),
        float(np.mean(recalls)) if recalls else float("nan"),
        getattr(index, "dense_index", ""),
    )  # fmt: skip


def _memory(rows: IndexRows) -> MemoryIndex:
    return MemoryIndex(rows, fingerprint="growth")


def _milvus(rows: IndexRows, uri: str) -> FaqIndex:
    """Writes the rows as a build and opens it as a server would."""
    views = [
        ViewText(key, id, view, key)
        for key, id, view in zip(rows.keys, rows.faq_ids, rows.views, strict=True)
    ]
    per: dict[tuple[str, str], int] = {}
    for view in views:
        per[view.faq_id, view.view] = per.get((view.faq_id, view.view), 0) + 1
    info = BuildInfo(
        fingerprint=f"{len(rows.keys):016x}", embedder="e5-small", tokenizer="growth",
        dim=rows.dense.shape[1], sparse=False, faqs=len(rows.faqs),
        expansions=sum(view.view == "expansion" for view in views), rows=len(views),
        rows_per_faq=max(per.values()), source="growth", corpus="growth",
        created=datetime.now(UTC).isoformat(timespec="microseconds"),
    )  # fmt: skip
    payloads = {id: faq_json(faq) for id, faq in rows.faqs.items()}
    store = MilvusStore(uri, timeout_s=600.0)
    write_build(store, info, views, Prepared(Embeddings(rows.dense), rows.tokens, 0), payloads)
    store.activate(info.fingerprint)
    return MilvusIndex(store, store.build())


@contextmanager
def _server(uri: str, kind: str) -> Iterator[tuple[str, int]]:
    """The Milvus to ask, and the process whose memory counts."""
    if uri or kind == "memory":
        yield uri, 0
        return
    with tempfile.TemporaryDirectory(prefix="growth-") as folder:
        server = Milvus(Path(folder))
        server.start()
        assert server.process is not None
        try:
            yield server.url, server.process.pid
        finally:
            server.stop()


def _one(arguments: argparse.Namespace) -> None:
    """Measures one index of one size in this process, and prints it."""
    if arguments.index == "milvus-fit":
        milvus_schema.EXACT_ROWS = 0

    def make() -> IndexRows:
        return grow(base_rows(arguments.faq), arguments.sizes[0])

    with _server(arguments.uri, arguments.index) as (uri, pid):
        print(json.dumps(asdict(measure(arguments.index, make, uri, pid))))


def _all(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Measures each in a process of its own, which counts no other's memory; keeps what was measured."""
    file = RESULTS / "growth.json"
    results = json.loads(file.read_text()) if file.exists() else []
    base_rows(arguments.faq)
    for size in arguments.sizes:
        for index in arguments.indexes:
            command = [sys.executable, "-m", "tests.bench.growth", "--faq", str(arguments.faq)]
            command += ["--sizes", str(size), "--index", index, "--uri", arguments.uri]
            done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
            one = json.loads(done.stdout.splitlines()[-1])
            print(one, flush=True)
            results = [r for r in results if (r["index"], r["faqs"]) != (one["index"], one["faqs"])] + [one]
            file.write_text(json.dumps(results, indent=1))
    return sorted(results, key=lambda r: (r["index"], r["faqs"]))


def main() -> None:
    """Measures what is named and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faq", type=Path, default=ROOT / "configs" / "faq" / "sample.jsonl")
    parser.add_argument("--sizes", type=int, nargs="+", default=[2_717, 30_000])
    parser.add_argument("--indexes", nargs="+", default=INDEXES, help="milvus-fit: as for a large corpus")
    parser.add_argument("--index", choices=INDEXES, help="measure this one in this process")
    parser.add_argument("--uri", default="", help="a Milvus server; by default one of our own")
    arguments = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    if arguments.index:
        _one(arguments)
        return
    for one in _all(arguments):
        print(one)


if __name__ == "__main__":
    main()
