"""A FAQ index that Milvus itself searches: for corpora too large for this process's memory.

Milvus finds the candidates leg by leg; their rows are then fetched and scored here with the statistics
of the whole corpus, so that every leg is filled in and both indexes rank alike. Does not fuse or rank.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from retrieval.corpus.faq import Faq
from retrieval.index.base import VIEWS, Candidate, IndexQuery
from retrieval.index.memory import MemoryIndex
from retrieval.index.milvus_schema import MAX_WINDOW, collection_name, dense_index, search_params
from retrieval.index.milvus_store import MilvusStore, failures
from retrieval.index.rows import BuildInfo, IndexRows, faq_from_json

_KEYS_PER_QUERY = 2_000
_NOT_LOADED = 101


class MilvusIndex:
    """Searches one build over an open store, which `close` closes too; thread-safe."""

    def __init__(self, store: MilvusStore, info: BuildInfo) -> None:
        """Loads the build's collection and statistics.

        Raises:
            IndexUnavailable: Milvus failed.
        """
        self._store, self._info = store, info
        self.fingerprint = info.fingerprint
        self.offers = None if info.base else store.offers(info.fingerprint)
        self._collection = collection_name(info.base or info.fingerprint)
        self._removed = info.removed_ids
        self._rows_searched = info.base_rows if info.base else info.rows
        self.dense_index = dense_index(self._rows_searched)[0]
        # What a patch puts in is small, and searched here.
        self._patch = read_rows(store, info) if info.base else None
        self._statistics = store.statistics(info.fingerprint)
        with failures(store.uri):
            store.client.load_collection(self._collection)

    def __len__(self) -> int:
        return self._info.faqs

    def candidates(self, query: IndexQuery, *, limit: int) -> list[Candidate]:
        """The union of each leg's best `limit` FAQs, in the order of their ids."""
        rows = self._rows(self._found(query, limit) - self._removed)
        if self._patch is not None:
            rows = _together(rows, self._patch)
        part = MemoryIndex(
            rows, fingerprint=self.fingerprint, statistics=self._statistics, only=frozenset(query.tokens)
        )
        return part.candidates(query, limit=limit)

    def get(self, faq_ids: Sequence[str]) -> dict[str, Faq]:
        """The FAQs with these ids; unknown ids are left out."""
        keys = [f"{id}:question0" for id in faq_ids if id not in self._removed]
        rows = self._query(keys, ["payload"])
        faqs = {faq.id: faq for faq in (faq_from_json(row["payload"]) for row in rows)}
        if self._patch is not None:
            faqs |= self._patch.faqs
        return {id: faqs[id] for id in faq_ids if id in faqs}

    def rarity(self, terms: Sequence[str]) -> dict[str, float]:
        """How rare each term is: near 0 where most rows hold it, 1 where none does."""
        return {term: self._statistics.rarity(term) for term in terms}

    def close(self) -> None:
        """Closes the store."""
        self._store.close()

    def _found(self, query: IndexQuery, limit: int) -> set[str]:
        limit += len(self._removed)
        legs: list[tuple[str, Any]] = [("dense", query.dense.tolist())]
        if self._info.sparse and query.sparse:
            legs.append(("lexical", dict(query.sparse)))
        elif not self._info.sparse and query.tokens:
            legs.append(("lexical", " ".join(query.tokens)))
        found: set[str] = set()
        for field, data in legs:
            for view in VIEWS:
                # A FAQ has one title and one answer; its expansions may take each other's places. Words are
                # looked up more widely: what a FAQ's rows say `together` is nowhere stored.
                several = self._info.rows_per_faq if view == "expansion" else 2 if field == "lexical" else 1
                window = min(limit * several, MAX_WINDOW)
                depth = search_params(self._rows_searched, window) if field == "dense" else None
                hits = self._call(
                    self._store.client.search,
                    data=[data],
                    filter=f'view == "{view}"',
                    limit=window,
                    anns_field=field,
                    output_fields=["faq_id"],
                    search_params=depth,
                )
                found.update(hit["entity"]["faq_id"] for hit in hits[0])
        return found

    def _rows(self, faq_ids: Iterable[str]) -> IndexRows:
        """Every row of these FAQs, by primary key: a filter on `faq_id` would read that of all rows."""
        views = ["question0", "answer0", *(f"expansion{n}" for n in range(self._info.rows_per_faq))]
        keys = [f"{id}:{view}" for id in sorted(faq_ids) for view in views]
        return to_rows(self._query(keys, row_fields(sparse=self._info.sparse)), self._info)

    def _query(self, keys: Sequence[str], fields: Sequence[str]) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for start in range(0, len(keys), _KEYS_PER_QUERY):
            expr = f"id in {json.dumps(keys[start : start + _KEYS_PER_QUERY])}"
            rows.extend(self._call(self._store.client.query, filter=expr, output_fields=list(fields)))
        return rows

    def _call(self, action: Callable[..., Any], **arguments: Any) -> Any:
        """Calls Milvus; a server that has forgotten the collection in a restart loads it again."""
        from pymilvus.exceptions import MilvusException

        with failures(self._store.uri):
            try:
                return action(self._collection, **arguments)
            except MilvusException as exc:
                if exc.code != _NOT_LOADED:
                    raise
                self._store.client.load_collection(self._collection)
                return action(self._collection, **arguments)


def _together(one: IndexRows, other: IndexRows) -> IndexRows:
    sparse = None if one.sparse is None or other.sparse is None else one.sparse + other.sparse
    return IndexRows(
        keys=one.keys + other.keys,
        faq_ids=one.faq_ids + other.faq_ids,
        views=one.views + other.views,
        dense=np.concatenate([one.dense, other.dense]),
        tokens=one.tokens + other.tokens,
        sparse=sparse,
        faqs={**one.faqs, **other.faqs},
    )


def row_fields(*, sparse: bool) -> tuple[str, ...]:
    """The fields `to_rows` needs; BM25's generated vectors cannot be read back, nor are they needed."""
    fields = ("id", "faq_id", "view", "payload", "dense", "tokens")
    return (*fields, "lexical") if sparse else fields


def to_rows(rows: Sequence[dict[str, Any]], info: BuildInfo) -> IndexRows:
    """Turns what Milvus returns into columns."""
    faqs = [faq_from_json(row["payload"]) for row in rows if row["payload"]]
    return IndexRows(
        keys=tuple(row["id"] for row in rows),
        faq_ids=tuple(row["faq_id"] for row in rows),
        views=tuple(row["view"] for row in rows),
        dense=np.array([row["dense"] for row in rows], np.float32).reshape(len(rows), info.dim),
        tokens=tuple(tuple(row["tokens"].split()) for row in rows),
        sparse=tuple(dict(row["lexical"]) for row in rows) if info.sparse else None,
        faqs={faq.id: faq for faq in faqs},
    )


def read_rows(store: MilvusStore, info: BuildInfo) -> IndexRows:
    """Reads a whole build.

    Raises:
        IndexUnavailable: Milvus failed.
    """
    return to_rows(store.read(info, row_fields(sparse=info.sparse)), info)
