"""python -m tests.bench.growth --faq FILE: how build, memory and search grow with the corpus.

The figures of docs/scale.md.

Corpora of the sizes named are made out of the FAQ (`corpora.py`), a part at a time, and searched exactly
(every row of every part), by the snapshot in memory and by a Milvus server (`milvus-lite server`, or a
cluster by `--uri`), each in a process of its own. recall@10 is against the exact search, ranker included.
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
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from api.settings import CONFIGS
from retrieval.index import milvus_schema
from retrieval.index.base import LEGS, Candidate, FaqIndex, IndexQuery
from retrieval.index.bm25 import Bm25Statistics
from retrieval.index.memory import MemoryIndex
from retrieval.index.milvus import MilvusIndex
from retrieval.index.milvus_schema import records
from retrieval.index.milvus_store import MilvusStore
from retrieval.index.rows import BuildInfo, IndexRows
from retrieval.index.snapshot import read_current, read_snapshot
from retrieval.ranking.ranker import Ranker, Weights
from retrieval.search import DEPTH
from tests.bench.corpora import grown, queries
from tests.bench.load import cpu_seconds
from tests.cluster.servers import Milvus
from tests.cluster.stack import ROOT, rss_mb

# What is in memory at once, in FAQs; at least as many questions are asked, alike many of each part.
_PART = 10_000
_QUERIES, _TOP = 90, 10
INDEXES = ("exact", "snapshot", "milvus")
RESULTS = ROOT / "var" / "growth"


@dataclass
class Measured:
    """One corpus in one index.

    Attributes:
        index: snapshot or milvus.
        faqs, rows: of the corpus.
        build_s: from rows with vectors to an index that answers.
        cpu_s: of this process meanwhile, and of the server.
        mb: resident memory of this process with the index, less that without.
        server_mb: of the server, less that of an empty one.
        p50_ms, p95_ms: of a search with its ranking, without embedding.
        cpu_ms, server_cpu_ms: of one, in this process and in the server.
        cpu_p95_ms: of both: what p95 would be on a machine with nothing else to do.
        calls_ms: the median of each call to the server.
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
    p50_ms: float = 0.0
    p95_ms: float = 0.0
    cpu_ms: float = 0.0
    server_cpu_ms: float = 0.0
    cpu_p95_ms: float = 0.0
    calls_ms: dict[str, float] | None = None
    found: float = 0.0
    recall: float = float("nan")
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


class Grown:
    """A corpus made out of the FAQ, a part at a time and as often as need be.

    Attributes:
        seconds, cpu_s: that making it has taken.
        statistics: of what was made in the last round.
        asked: likewise, questions with the FAQs they were made from.
        rows: likewise, how many.
    """

    def __init__(self, base: IndexRows, faqs: int) -> None:
        self.base, self.faqs, self.seconds, self.cpu_s = base, faqs, 0.0, 0.0
        self._each = -(-_QUERIES // -(-faqs // _PART))

    def parts(self) -> Iterator[IndexRows]:
        """The corpus."""
        frequencies: Counter[str] = Counter()
        self.rows, length, self.asked = 0, 0, list[tuple[str, IndexQuery]]()
        parts = grown(self.base, self.faqs, part=_PART)
        while True:
            started, cpu = time.perf_counter(), time.process_time()
            part = next(parts, None)
            if part is not None:
                self.asked += queries(part, self._each)
            self.seconds += time.perf_counter() - started
            self.cpu_s += time.process_time() - cpu
            if part is None:
                break
            for words in part.tokens:
                frequencies.update(set(words))
                length += len(words)
            self.rows += len(part.tokens)
            yield part
        self.statistics = Bm25Statistics(self.rows, length / self.rows, frequencies)


def exact(corpus: Grown) -> list[list[str]]:
    """Ids of the first ten of each question, by scoring every row."""
    for _ in corpus.parts():
        pass
    statistics, asked, ranker = corpus.statistics, corpus.asked, _ranker()
    found: list[list[Candidate]] = [[] for _ in asked]
    for part in corpus.parts():
        index = MemoryIndex(part, fingerprint="growth", statistics=statistics)
        for n, (_, query) in enumerate(asked):
            found[n] = _best([*found[n], *index.candidates(query, limit=DEPTH)])
    return [
        [hit.faq.id for hit in ranker.rank(query, candidates)[:_TOP]]
        for (_, query), candidates in zip(asked, found, strict=True)
    ]


def _best(candidates: Sequence[Candidate]) -> list[Candidate]:
    """What one index of all their FAQs would offer."""
    chosen: dict[str, Candidate] = {}
    for leg in (*LEGS, "together"):
        floor = -1.0 if leg.startswith("dense") else 0.0
        scored = [((c.signs | c.scores)[leg], c) for c in candidates]  # type: ignore[operator, index]
        scored = sorted((each for each in scored if each[0] > floor), key=lambda s: (-s[0], s[1].faq.id))
        chosen |= {c.faq.id: c for _, c in scored[:DEPTH]}
    return list(chosen.values())


def _cpu_s(pid: int) -> float:
    return cpu_seconds([pid]) if pid else 0.0


def _ranker() -> Ranker:
    return Ranker(Weights.load(CONFIGS / "ranking" / "e5-small.json"))


def snapshot(corpus: Grown) -> tuple[FaqIndex, Measured]:
    """The corpus in this process's memory."""
    before, parts = rss_mb(os.getpid()), list(corpus.parts())
    rows = IndexRows(
        keys=tuple(key for part in parts for key in part.keys),
        faq_ids=tuple(id for part in parts for id in part.faq_ids),
        views=tuple(view for part in parts for view in part.views),
        dense=np.concatenate([part.dense for part in parts]),
        tokens=tuple(words for part in parts for words in part.tokens),
        sparse=None,
        faqs={id: faq for part in parts for id, faq in part.faqs.items()},
    )
    parts.clear()
    clock, cpu = time.perf_counter(), time.process_time()
    index = MemoryIndex(rows, fingerprint="growth")
    took = time.perf_counter() - clock, time.process_time() - cpu
    # What built it is not needed to search it.
    del rows
    gc.collect()
    return index, Measured("snapshot", corpus.faqs, corpus.rows, *took, rss_mb(os.getpid()) - before, 0.0)


def milvus(corpus: Grown, uri: str, server_pid: int) -> tuple[FaqIndex, Measured, dict[str, list[float]]]:
    """The corpus written as a build, and opened as a server of ours would."""
    before, empty = rss_mb(os.getpid()), rss_mb(server_pid) if server_pid else 0.0
    info = BuildInfo(
        fingerprint=f"{corpus.faqs:016x}", embedder="e5-small", tokenizer="growth",
        dim=corpus.base.dense.shape[1], sparse=False, faqs=corpus.faqs, expansions=0, rows=0,
        source="growth", corpus="growth", created=datetime.now(UTC).isoformat(timespec="microseconds"),
    )  # fmt: skip

    def written() -> Iterator[dict[str, Any]]:
        first = 0
        for part in corpus.parts():
            hashes = [f"{n:032x}" for n in range(len(part.keys))]
            yield from records(part, hashes, source=info.source, first=first)
            first += len(part.faqs)

    store = MilvusStore(uri, timeout_s=600.0)
    clock, cpu, server = time.perf_counter(), time.process_time(), _cpu_s(server_pid)
    store.write(info, written())
    info = replace(info, rows=corpus.rows)
    store.finish(info, corpus.statistics)
    index = MilvusIndex(store, info)
    build_s = time.perf_counter() - clock - corpus.seconds
    cpu_s = time.process_time() - cpu - corpus.cpu_s + _cpu_s(server_pid) - server
    gc.collect()
    calls = _timed(store.client)
    mb = rss_mb(os.getpid()) - before
    server_mb = rss_mb(server_pid) - empty if server_pid else 0.0
    done = Measured("milvus", corpus.faqs, corpus.rows, build_s, cpu_s, mb, server_mb)
    done.dense_index = index.dense_index
    return index, done, calls


def _timed(client: Any) -> dict[str, list[float]]:
    """Milliseconds of each call from now on, by what it asks for."""
    calls: dict[str, list[float]] = defaultdict(list)

    def timing(call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **options: Any) -> Any:
            started = time.perf_counter()
            found = call(*args, **options)
            calls[options.get("anns_field", "fetch")].append((time.perf_counter() - started) * 1000)
            return found

        return timed

    client.search, client.query = timing(client.search), timing(client.query)
    return calls


def search(index: FaqIndex, corpus: Grown, done: Measured, server_pid: int) -> None:
    """Asks every question and notes in `done` how long that took and what was found."""
    ranker, asked = _ranker(), corpus.asked
    for _, query in asked[:5]:
        index.candidates(query, limit=DEPTH)
    took, ours, theirs, firsts = [], [], [], []
    for _, query in asked:
        started, cpu, server = time.perf_counter(), time.process_time(), _cpu_s(server_pid)
        hits = ranker.rank(query, index.candidates(query, limit=DEPTH))[:_TOP]
        took.append((time.perf_counter() - started) * 1000)
        ours.append((time.process_time() - cpu) * 1000)
        theirs.append((_cpu_s(server_pid) - server) * 1000)
        firsts.append([hit.faq.id for hit in hits])
    done.cpu_ms, done.server_cpu_ms = float(np.mean(ours)), float(np.mean(theirs))
    done.cpu_p95_ms = float(np.percentile(np.add(ours, theirs), 95))
    done.p50_ms, done.p95_ms = float(np.percentile(took, 50)), float(np.percentile(took, 95))
    done.found = float(np.mean([id in first for (id, _), first in zip(asked, firsts, strict=True)]))
    file = RESULTS / f"exact-{done.faqs}.json"
    if file.exists():
        known = json.loads(file.read_text())
        done.recall = float(
            np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(firsts, known, strict=True)])
        )


@contextmanager
def _server(uri: str, kind: str, pid: int) -> Iterator[tuple[str, int]]:
    """The Milvus to ask, and the process whose memory counts."""
    if uri or kind == "snapshot":
        yield uri, pid
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
    kind, faqs = arguments.index, arguments.sizes[0]
    if arguments.flat:
        milvus_schema.EXACT_FAQS = faqs
    corpus = Grown(base_rows(arguments.faq), faqs)
    if kind == "exact":
        (RESULTS / f"exact-{faqs}.json").write_text(json.dumps(exact(corpus)))
        print(json.dumps({"index": "exact", "faqs": faqs, "rows": corpus.rows}))
        return
    with _server(arguments.uri, kind, arguments.pid) as (uri, pid):
        calls: dict[str, list[float]] = {}
        if kind == "snapshot":
            index, done = snapshot(corpus)
        else:
            index, done, calls = milvus(corpus, uri, pid)
        search(index, corpus, done, pid)
        done.calls_ms = {name: float(np.median(took)) for name, took in calls.items()}
        print(json.dumps(asdict(done)))


def _all(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Measures each in a process of its own, which counts no other's memory; keeps what was measured."""
    file = RESULTS / "growth.json"
    results = json.loads(file.read_text()) if file.exists() else []
    base_rows(arguments.faq)
    for size in arguments.sizes:
        for index in arguments.indexes:
            command = [sys.executable, "-m", "tests.bench.growth", "--faq", str(arguments.faq)]
            command += ["--sizes", str(size), "--index", index, "--uri", arguments.uri]
            command += ["--pid", str(arguments.pid), *(["--flat"] if arguments.flat else [])]
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
    parser.add_argument("--sizes", type=int, nargs="+", default=[3_000, 30_000])
    parser.add_argument("--indexes", nargs="+", default=INDEXES, help="exact first: what recall is against")
    parser.add_argument("--index", choices=INDEXES, help="measure this one in this process")
    parser.add_argument(
        "--flat", action="store_true", help="exact vectors at any size: a server without graphs"
    )
    parser.add_argument("--pid", type=int, default=0, help="the server's, where it runs here")
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
