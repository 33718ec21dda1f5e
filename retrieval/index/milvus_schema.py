"""The Milvus collections of an index: names, fields, index parameters.

Knows pymilvus' schema classes; talks to no server. Milvus: https://milvus.io/docs/full-text-search.md
"""

from __future__ import annotations

import re
from typing import Any

from retrieval.index.bm25 import K1, B

ALIAS = "faq"
BUILDS = "faq_builds"
_BUILD = re.compile(r"faq_([0-9a-f]{16})")

MAX_BYTES = 65_535
MAX_WINDOW = 16_384

# Up to here this process itself searches by default (50,000 FAQs with nine rows), and Milvus only stores.
EXACT_ROWS = 450_000
# A graph holds every vector in memory, about 1.7 kB a row of 384 numbers: 34 GB here.
GRAPH_ROWS = 20_000_000
# Of 100,000 vectors `ef` 200 finds 0.998 of the exact first 50, a tenth of the cells 0.987, 64 of the 1,264
# cells 0.974 (python -m tests.bench.vectors). A graph must keep more than it gives back.
_EF = 200
_NPROBE = 64


def collection_name(fingerprint: str) -> str:
    """The collection of a build."""
    return f"faq_{fingerprint}"


def fingerprint_of(collection: str) -> str | None:
    """The build a collection belongs to; None if it is none of ours."""
    match = _BUILD.fullmatch(collection)
    return match[1] if match else None


def rows_schema(dim: int, *, sparse: bool) -> Any:
    """One row per view. `sparse`: learned weights are stored instead of BM25 over the tokens."""
    from pymilvus import DataType, Function, FunctionType, MilvusClient

    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=64)
    # Numbered from 0 without gaps: all rows are read back in ranges of it.
    schema.add_field("row", DataType.INT64)
    schema.add_field("faq_id", DataType.VARCHAR, max_length=64)
    schema.add_field("view", DataType.VARCHAR, max_length=16)
    schema.add_field("text_hash", DataType.VARCHAR, max_length=32)
    schema.add_field("payload", DataType.VARCHAR, max_length=MAX_BYTES)
    schema.add_field("dense", DataType.FLOAT_VECTOR, dim=dim)
    schema.add_field(
        "tokens",
        DataType.VARCHAR,
        max_length=MAX_BYTES,
        enable_analyzer=not sparse,
        analyzer_params={"tokenizer": "standard"},
    )
    schema.add_field("lexical", DataType.SPARSE_FLOAT_VECTOR)
    if not sparse:
        schema.add_function(
            Function("bm25", FunctionType.BM25, input_field_names=["tokens"], output_field_names=["lexical"])
        )
    return schema


def dense_index(rows: int) -> tuple[str, dict[str, int]]:
    """How so many vectors are searched: exactly, by a graph, or by cells where a graph is too large."""
    if rows <= EXACT_ROWS:
        return "FLAT", {}
    if rows <= GRAPH_ROWS:
        return "HNSW", {"M": 16, "efConstruction": 200}
    return "IVF_SQ8", {"nlist": _cells(rows)}


def search_params(rows: int, limit: int) -> dict[str, Any]:
    """How thoroughly `limit` of so many vectors are looked for; figures in docs/scale.md."""
    match dense_index(rows)[0]:
        case "HNSW":
            return {"metric_type": "IP", "params": {"ef": max(_EF, 2 * limit)}}
        case "IVF_SQ8":
            return {"metric_type": "IP", "params": {"nprobe": max(_NPROBE, _cells(rows) // 10)}}
        case _:
            return {"metric_type": "IP"}


def largest_error(rows: int) -> float:
    """By how much a similarity in an index of so many rows may be off: cells keep 8 bits a number."""
    return 0.01 if dense_index(rows)[0] == "IVF_SQ8" else 1e-3


def _cells(rows: int) -> int:
    """4 times the root, as faiss advises: https://github.com/facebookresearch/faiss/wiki/Guidelines."""
    return int(4 * rows**0.5)


def rows_index(rows: int, *, sparse: bool) -> Any:
    """Search over so many unit vectors, and BM25 (or the inner product of learned weights)."""
    from pymilvus import MilvusClient

    params = MilvusClient.prepare_index_params()
    kind, built = dense_index(rows)
    params.add_index(field_name="dense", index_type=kind, metric_type="IP", params=built)
    lexical = {} if sparse else {"bm25_k1": K1, "bm25_b": B}
    params.add_index(
        field_name="lexical",
        index_type="SPARSE_INVERTED_INDEX",
        metric_type="IP" if sparse else "BM25",
        params={"inverted_index_algo": "DAAT_MAXSCORE", **lexical},
    )
    return params


def builds_schema() -> Any:
    """Records about finished builds, in pieces; Milvus wants a vector in every collection."""
    from pymilvus import DataType, MilvusClient

    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=64)
    schema.add_field("fingerprint", DataType.VARCHAR, max_length=32)
    schema.add_field("kind", DataType.VARCHAR, max_length=16)
    schema.add_field("piece", DataType.INT64)
    schema.add_field("payload", DataType.VARCHAR, max_length=MAX_BYTES)
    schema.add_field("unused", DataType.FLOAT_VECTOR, dim=2)
    return schema


def builds_index() -> Any:
    """The index Milvus demands before it loads a collection."""
    from pymilvus import MilvusClient

    params = MilvusClient.prepare_index_params()
    params.add_index(field_name="unused", index_type="FLAT", metric_type="IP")
    return params
