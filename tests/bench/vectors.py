"""How thoroughly a graph or cells must be searched: recall and time by `ef` and `nprobe`, for grown FAQs.

    python -m tests.bench.vectors --faq FILE [--faqs 100000]

Measures the indexes of faiss that Milvus and Milvus Lite build, without a server around them. Its table is in
docs/scale.md, and the constants of `retrieval/index/milvus_schema.py` come from it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from retrieval.index.signs import centres
from tests.bench.corpora import grown, queries
from tests.bench.growth import base_rows
from tests.bench.report import conditions, table

_QUERIES, _LIMIT, _PART = 200, 200, 10_000


def measured(
    index: Any, name: str, wanted: NDArray[np.int64], asked: NDArray[np.float32]
) -> Iterator[tuple[object, ...]]:
    """Recall of the exact first 200 and milliseconds of one search, by thoroughness."""
    thoroughness: dict[str, Callable[[int], Any]] = {
        "ef": lambda n: faiss.SearchParametersHNSW(efSearch=n),
        "nprobe": lambda n: faiss.SearchParametersIVF(nprobe=n),
    }
    for value in (200, 300, 400, 800) if name == "ef" else (16, 32, 64, 128, 256):
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
    parser.add_argument("--faqs", type=int, default=100_000)
    arguments = parser.parse_args()
    faiss.omp_set_num_threads(1)
    base = base_rows(arguments.faq)
    parts, vectors = [], []
    for rows in grown(base, arguments.faqs, part=_PART):
        members = [list(of) for _, of in groupby(range(len(rows.keys)), rows.faq_ids.__getitem__)]
        parts.append(centres(rows.views, rows.dense, members))
        vectors += [query.dense for _, query in queries(rows, -(-_QUERIES * _PART // arguments.faqs))]
    dense, asked = np.concatenate(parts), np.stack(vectors)
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
    print(table((f"{len(dense):,} centres, {cells} cells", "recall@200", "p50 ms"), lines))
    print(conditions())


if __name__ == "__main__":
    main()
