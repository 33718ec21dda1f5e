"""A FAQ index that Milvus itself searches: for corpora too large for this process's memory.

Milvus finds candidates by the centre of each FAQ's vectors and by all of its words; they are then fetched
and scored here row by row with the statistics of the whole corpus, so that every leg is filled in and both
indexes rank alike. Does not fuse or rank.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from retrieval.corpus.faq import Faq
from retrieval.index.base import Candidate, IndexQuery
from retrieval.index.memory import MemoryIndex
from retrieval.index.milvus_schema import (
    MAX_WINDOW,
    PACKED,
    collection_name,
    dense_index,
    search_params,
    to_rows,
)
from retrieval.index.milvus_store import MilvusStore, failures
from retrieval.index.rows import BuildInfo, IndexRows, faq_from_json

_KEYS_PER_QUERY = 500
# A FAQ that is found by one of its wordings alone is not among the nearest centres.
_WIDER = 4
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
        self._searched = store.build(info.base).faqs if info.base else info.faqs
        self.dense_index = dense_index(self._searched)[0]
        # What a patch puts in is small, and searched here.
        self._patch = read_rows(store, info) if info.base else None
        self._statistics = store.statistics(info.fingerprint)
        with failures(store.uri):
            store.client.load_collection(self._collection)

    def __len__(self) -> int:
        return self._info.faqs

    def candidates(self, query: IndexQuery, *, limit: int) -> list[Candidate]:
        """The union of each leg's best `limit` FAQs, in the order of their ids."""
        found = self._query(self._found(query, limit) - self._removed, PACKED)
        rows = to_rows(found, self._info)
        if self._patch is not None:
            rows = _together(rows, self._patch)
        part = MemoryIndex(
            rows, fingerprint=self.fingerprint, statistics=self._statistics, only=frozenset(query.tokens)
        )
        return part.candidates(query, limit=limit)

    def get(self, faq_ids: Sequence[str]) -> dict[str, Faq]:
        """The FAQs with these ids; unknown ids are left out."""
        found = self._query(set(faq_ids) - self._removed, ["faq"])
        faqs = {faq.id: faq for faq in (faq_from_json(record["faq"]) for record in found)}
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
        """Ids of the FAQs whose centres are nearest, and of those whose words match best."""
        window = min(_WIDER * limit + len(self._removed), MAX_WINDOW)
        depth = search_params(self._searched, window)
        searches: list[dict[str, Any]] = [
            {"anns_field": "dense", "data": [query.dense.tolist()], "search_params": depth}
        ]
        if self._info.sparse and query.sparse:
            searches.append({"anns_field": "lexical", "data": [dict(query.sparse)]})
        elif not self._info.sparse and query.tokens:
            searches.append({"anns_field": "lexical", "data": [" ".join(query.tokens)]})
        found: set[str] = set()
        for search in searches:
            hits = self._call(self._store.client.search, limit=window, **search)
            found.update(hit["id"] for hit in hits[0])
        return found

    def _query(self, ids: Iterable[str], fields: Sequence[str]) -> list[dict[str, Any]]:
        """The records of these FAQs, by primary key."""
        keys, found = sorted(ids), []
        for start in range(0, len(keys), _KEYS_PER_QUERY):
            expr = f"id in {json.dumps(keys[start : start + _KEYS_PER_QUERY])}"
            found += self._call(self._store.client.query, filter=expr, output_fields=list(fields))
        return found

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


def read_rows(store: MilvusStore, info: BuildInfo) -> IndexRows:
    """Reads a whole build.

    Raises:
        IndexUnavailable: Milvus failed.
    """
    return to_rows(store.read(info, PACKED), info)
