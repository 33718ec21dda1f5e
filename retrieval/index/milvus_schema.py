"""The Milvus collections of an index: names, fields, index parameters, and a FAQ as one record of them.

What finds a FAQ is the centre of its vectors and its words together. What scores it, the vector and the terms
of each of its rows, is packed into text, a number a byte: Milvus keeps every vector field in memory to search
it, and a row more for each way of asking made it nine times as large.

Knows pymilvus' schema classes; talks to no server. Milvus: https://milvus.io/docs/full-text-search.md
"""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from retrieval.corpus.faq import Faq
from retrieval.embedders.remembered import decoded, encoded
from retrieval.errors import CorpusError
from retrieval.index.base import View
from retrieval.index.bm25 import K1, B
from retrieval.index.rows import BuildInfo, IndexRows, faq_from_json, faq_json
from retrieval.index.signs import centres

ALIAS = "faq"
BUILDS = "faq_builds"
_BUILD = re.compile(r"faq_([0-9a-f]{16})")

MAX_BYTES = 65_535
MAX_WINDOW = 16_384

# Up to here this process itself searches by default, and Milvus only stores.
EXACT_FAQS = 50_000
# A graph holds every vector in memory, about 1.7 kB of 384 numbers: 34 GB here.
GRAPH_FAQS = 20_000_000
# Of 50,000 centres `ef` 400 finds 0.990 of the exact first 200, 128 of the 894 cells 0.979, 64 of them 0.952
# (python -m tests.bench.vectors). A graph must keep more than it gives back.
_EF = 200
_NPROBE = 64


def collection_name(fingerprint: str) -> str:
    """The collection of a build."""
    return f"faq_{fingerprint}"


def fingerprint_of(collection: str) -> str | None:
    """The build a collection belongs to; None if it is none of ours."""
    match = _BUILD.fullmatch(collection)
    return match[1] if match else None


def faqs_schema(dim: int, *, sparse: bool) -> Any:
    """One record a FAQ. `sparse`: learned weights are stored and searched instead of BM25 over the words."""
    from pymilvus import DataType, Function, FunctionType, MilvusClient

    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=64)
    # Numbered from 0 without gaps: all records are read back in ranges of it.
    schema.add_field("number", DataType.INT64)
    schema.add_field("dense", DataType.FLOAT_VECTOR, dim=dim)
    schema.add_field("lexical", DataType.SPARSE_FLOAT_VECTOR)
    for name in ("faq", "hashes", "vectors", "weights"):
        schema.add_field(name, DataType.VARCHAR, max_length=MAX_BYTES)
    schema.add_field(
        "words",
        DataType.VARCHAR,
        max_length=MAX_BYTES,
        enable_analyzer=not sparse,
        analyzer_params={"tokenizer": "standard"},
    )
    if not sparse:
        schema.add_function(
            Function("bm25", FunctionType.BM25, input_field_names=["words"], output_field_names=["lexical"])
        )
    return schema


# What `to_rows` needs; BM25's generated vectors cannot be read back, nor are they needed.
PACKED = ("id", "faq", "vectors", "words", "weights")


def records(
    rows: IndexRows, hashes: Sequence[str], *, source: str, first: int = 0
) -> Iterator[dict[str, Any]]:
    """The FAQs of `rows`, each a record with the fields of `faqs_schema`.

    Args:
        rows: those of one FAQ together: its title, its answer, then its other wordings.
        hashes: `ViewText.text_hash` of each.
        source: name of the corpus, for the message.
        first: the number of the first FAQ.

    Raises:
        CorpusError: a FAQ is too long to be stored.
    """
    start = 0
    for number, (id, group) in enumerate(groupby(rows.faq_ids), first):
        of = range(start, start + sum(1 for _ in group))
        start = of.stop
        dense = rows.dense[of.start : of.stop]
        record = {
            "id": id,
            "number": number,
            "faq": faq_json(rows.faqs[id]),
            "hashes": " ".join(hashes[row] for row in of),
            "vectors": b64encode(encoded(dense).tobytes()).decode(),
            "words": "\n".join(" ".join(rows.tokens[row]) for row in of),
            "weights": "",
        }
        weights = [] if rows.sparse is None else [rows.sparse[row] for row in of]
        if weights:
            pairs = [[(int(token), float(weight)) for token, weight in each.items()] for each in weights]
            record["weights"] = json.dumps(pairs, separators=(",", ":"))
        for name, text in record.items():
            if isinstance(text, str) and len(text.encode()) > MAX_BYTES:
                raise _too_long(source, rows.faqs[id], f"{name} take {len(text.encode()):,} bytes")
        record["dense"] = centres([rows.views[row] for row in of], dense, [range(len(of))])[0]
        if weights:
            tokens = {token for each in weights for token in each}
            record["lexical"] = {token: max(each.get(token, 0.0) for each in weights) for token in tokens}
        yield record


def check_sizes(faqs: Sequence[Faq], source: str) -> None:
    """Raises `CorpusError` for a FAQ that is too long, before anything is computed for it."""
    for faq in faqs:
        size = len(faq_json(faq).encode())
        if size > MAX_BYTES:
            raise _too_long(source, faq, f"it takes {size:,} bytes")


def _too_long(source: str, faq: Faq, what: str) -> CorpusError:
    reason = f"{faq.question!r} is too long: {what}, {MAX_BYTES:,} is the most that can be stored."
    return CorpusError(Path(source), reason, hint="Split its answer, or give it fewer wordings.")


def to_rows(records: Sequence[dict[str, Any]], info: BuildInfo) -> IndexRows:
    """The rows of FAQs as Milvus returns them, with the fields `PACKED`."""
    keys: list[str] = []
    owners: list[str] = []
    views: list[View] = []
    tokens: list[tuple[str, ...]] = []
    sparse: list[dict[int, float]] = []
    for record in records:
        texts = record["words"].split("\n")
        tokens += (tuple(text.split()) for text in texts)
        wordings: list[View] = ["expansion"] * (len(texts) - 2)
        names: list[View] = ["question", "answer", *wordings]
        keys += (f"{record['id']}:{view}{max(n - 2, 0)}" for n, view in enumerate(names))
        owners += [record["id"]] * len(texts)
        views += names
        if info.sparse:
            sparse += (dict(map(tuple, each)) for each in json.loads(record["weights"]))
    codes = np.frombuffer(b"".join(b64decode(record["vectors"]) for record in records), np.int8)
    faqs = [faq_from_json(record["faq"]) for record in records]
    return IndexRows(
        keys=tuple(keys),
        faq_ids=tuple(owners),
        views=tuple(views),
        dense=decoded(codes.reshape(len(keys), info.dim)),
        tokens=tuple(tokens),
        sparse=tuple(sparse) if info.sparse else None,
        faqs={faq.id: faq for faq in faqs},
    )


def dense_index(faqs: int) -> tuple[str, dict[str, int]]:
    """How so many centres are searched: exactly, by a graph, or by cells where a graph is too large."""
    if faqs <= EXACT_FAQS:
        return "FLAT", {}
    if faqs <= GRAPH_FAQS:
        return "HNSW", {"M": 16, "efConstruction": 200}
    return "IVF_SQ8", {"nlist": _cells(faqs)}


def search_params(faqs: int, limit: int) -> dict[str, Any]:
    """How thoroughly `limit` of so many centres are looked for; figures in docs/scale.md."""
    match dense_index(faqs)[0]:
        case "HNSW":
            return {"metric_type": "IP", "params": {"ef": max(_EF, 2 * limit)}}
        case "IVF_SQ8":
            return {"metric_type": "IP", "params": {"nprobe": max(_NPROBE, _cells(faqs) // 10)}}
        case _:
            return {"metric_type": "IP"}


def largest_error(faqs: int) -> float:
    """By how much a similarity in an index of so many FAQs may be off: cells keep 8 bits a number."""
    return 0.01 if dense_index(faqs)[0] == "IVF_SQ8" else 1e-3


def _cells(faqs: int) -> int:
    """4 times the root, as faiss advises: https://github.com/facebookresearch/faiss/wiki/Guidelines."""
    return int(4 * faqs**0.5)


def faqs_index(faqs: int, *, sparse: bool) -> Any:
    """Search over so many centres, and BM25 (or the inner product of learned weights)."""
    from pymilvus import MilvusClient

    params = MilvusClient.prepare_index_params()
    kind, built = dense_index(faqs)
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
