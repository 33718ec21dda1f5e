"""How thoroughly a graph or cells must be searched: recall and time by `ef` and `nprobe`, on grown vectors.

    python -m tests.bench.vectors --faq FILE [--rows 100000]

Measures the indexes of faiss that Milvus and Milvus Lite build, without a server around them. Its table is in
docs/scale.md, and the constants of `retrieval/index/milvus_schema.py` come from it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from tests.bench.corpora import grow, queries
from tests.bench.growth import base_rows
from tests.bench.report import conditions, table

_QUERIES, _LIMIT = 200, 50


def measured(
    index: Any, name: str, wanted: NDArray[np.int64], asked: NDArray[np.float32]
) -> Iterator[tuple[object, ...]]:
    """Recall of the exact first 50 and milliseconds of one search, by thoroughness."""
    thoroughness: dict[str, Callable[[int], Any]] = {
        "ef": lambda n: faiss.SearchParametersHNSW(efSearch=n),
        "nprobe": lambda n: faiss.SearchParametersIVF(nprobe=n),
    }
    for value in (64, 100, 200, 400, 800) if name == "ef" else (16, 32, 64, 128, 256):
        took, shares = [], []
        for vector, exact in zip(asked, wanted, strict=True):
            started = time.perf_counter()
            _, found = index.search(vector[None], _LIMIT, params=thoroughness[name](value))
            took.append((time.perf_counter() - started) * 1000)
            shares.append(len(set(found[0]) & set(exact)) / _LIMIT)
        yield f"{name} {value}", f"{np.mean(shares):.3f}", f"{np.percentile(took, 50):.1f}"


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faq", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=100_000)
    arguments = parser.parse_args()
    faiss.omp_set_num_threads(1)
    base = base_rows(arguments.faq)
    rows = grow(base, 1 + arguments.rows * len(base.faqs) // len(base.keys))
    dense = rows.dense[: arguments.rows]
    asked = np.stack([query.dense for _, query in queries(rows, _QUERIES)])
    wanted = np.argsort(-(asked @ dense.T), axis=1)[:, :_LIMIT]
    cells = int(4 * len(dense) ** 0.5)
    graph = faiss.IndexHNSWFlat(dense.shape[1], 16, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction = 200
    quantizer = faiss.IndexFlatIP(dense.shape[1])
    kind = faiss.ScalarQuantizer.QT_8bit
    cut = faiss.IndexIVFScalarQuantizer(quantizer, dense.shape[1], cells, kind, faiss.METRIC_INNER_PRODUCT)
    lines: list[tuple[object, ...]] = []
    for index, name in ((graph, "ef"), (cut, "nprobe")):
        started = time.process_time()
        index.train(dense)
        index.add(dense)
        print(f"{name}: built in {time.process_time() - started:.0f} s of CPU", flush=True)
        lines += measured(index, name, wanted, asked)
    print(table((f"{len(dense):,} vectors, {cells} cells", "recall@50", "p50 ms"), lines))
    print(conditions())


if __name__ == "__main__":
    main()
