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


def rows_index(*, sparse: bool) -> Any:
    """Exact search over unit vectors, and BM25 (or the inner product of learned weights)."""
    from pymilvus import MilvusClient

    params = MilvusClient.prepare_index_params()
    params.add_index(field_name="dense", index_type="FLAT", metric_type="IP")
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
