"""The store of record: versioned builds of a FAQ index in Milvus, an alias in front of the current one.

Knows collections, aliases and the records of builds; does not know how a corpus becomes rows, nor how
hits are scored. A build counts once its record is written, which is the last step before the alias moves:
what an interrupted build leaves behind is never served, and the next build drops it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlparse

from retrieval.errors import IndexMissing, IndexUnavailable
from retrieval.index import milvus_schema as schema
from retrieval.index.bm25 import Bm25Statistics
from retrieval.index.rows import BuildInfo
from retrieval.offers.known import Offers

_INSERT = 500
_READ = 1_000
_SAMPLE = 20
# An index of a million FAQs takes minutes to make and to load.
_INDEXING_S = 3_600.0
_PIECE_CHARS = 16_000
_POLL_S = 0.1


def local_path(uri: str) -> Path | None:
    """The Milvus Lite folder a URI names, or None where it names a server."""
    return None if urlparse(uri).scheme in ("http", "https", "tcp") else Path(uri.removeprefix("file:"))


@contextmanager
def failures(uri: str) -> Iterator[None]:
    """Turns what pymilvus and gRPC raise into `IndexUnavailable`."""
    from grpc import RpcError
    from pymilvus.exceptions import MilvusException

    try:
        yield
    except (MilvusException, RpcError, ConnectionError, TimeoutError) as exc:
        raise IndexUnavailable(uri, f"Milvus failed: {exc}") from exc


class LiteServer:
    """A running Milvus Lite over the data folder `path`; a context manager.

    Attributes:
        uri: the address a client connects to.
    """

    def __init__(self, path: Path, *, wait_s: float) -> None:
        """Opens the folder, creating it if need be.

        Args:
            path: the folder; its name usually ends in `.db`.
            wait_s: how many seconds to wait for whoever has it open now.

        Raises:
            IndexUnavailable: still open elsewhere after `wait_s`, or not writable.
        """
        from milvus_lite.adapter.grpc.server import start_server_in_thread
        from milvus_lite.exceptions import DataDirLockedError, MilvusLiteError

        # Its own warnings about every refused call would end up in the user's terminal.
        logging.getLogger("milvus_lite").setLevel(logging.ERROR)
        # gRPC logs a trace for what the client asks and Lite does not know, at every opening.
        logging.getLogger("grpc._server").setLevel(logging.CRITICAL)
        deadline = time.monotonic() + wait_s
        while True:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._server, self._db, port = start_server_in_thread(str(path))
                break
            except DataDirLockedError as exc:
                if time.monotonic() >= deadline:
                    reason = f"is open in another process (waited {wait_s:g} s); end that one, or try again"
                    raise IndexUnavailable(str(path), reason) from exc
                time.sleep(_POLL_S)
            except (OSError, MilvusLiteError) as exc:
                raise IndexUnavailable(str(path), f"cannot be opened: {exc}") from exc
        self.uri = f"http://127.0.0.1:{port}"

    def __enter__(self) -> LiteServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stops serving and lets go of the file."""
        self._server.stop(grace=2).wait()
        self._db.close()


class MilvusStore:
    """An open connection to the builds at one URI; a context manager.

    Attributes:
        uri: a Milvus Lite file, or `http(s)://host:port` of a server.
        client: the pymilvus client.
    """

    def __init__(self, uri: str, *, token: str = "", timeout_s: float = 30.0, wait_s: float = 10.0) -> None:
        """Connects.

        Args:
            uri: a Milvus Lite file (created if missing), or a server's address.
            token: the server's `user:password` or API key.
            timeout_s: bound on each call, in seconds.
            wait_s: how long to wait for a local file that another process has open, in seconds.

        Raises:
            IndexUnavailable: no connection, or the file stays locked.
        """
        from pymilvus import MilvusClient

        self.uri = uri
        self._stack = ExitStack()
        path = local_path(uri)
        try:
            address = uri if path is None else self._stack.enter_context(LiteServer(path, wait_s=wait_s)).uri
            with failures(uri):
                self.client = MilvusClient(address, token=token, timeout=timeout_s, dedicated=True)
        except BaseException:
            self._stack.close()
            raise
        self._stack.callback(self.client.close)

    def __enter__(self) -> MilvusStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection and lets go of a local file."""
        self._stack.close()

    def current(self) -> str | None:
        """Fingerprint of the build the alias points at; None where there is none."""
        with failures(self.uri):
            aliases = self.client.list_aliases()["aliases"]
            if schema.ALIAS not in aliases:
                return None
            return schema.fingerprint_of(self.client.describe_alias(schema.ALIAS)["collection_name"])

    def builds(self) -> list[BuildInfo]:
        """Finished builds, newest first."""
        with failures(self.uri):
            if not self.client.has_collection(schema.BUILDS):
                return []
            self.client.load_collection(schema.BUILDS)
            rows = self._query(schema.BUILDS, 'kind == "info"', ["payload"])
            present = set(self.client.list_collections())
        infos = (BuildInfo.from_json(row["payload"]) for row in rows)
        kept = [
            info
            for info in infos
            if schema.collection_name(info.fingerprint) in present
            and (not info.base or schema.collection_name(info.base) in present)
        ]
        return sorted(kept, key=lambda info: info.created, reverse=True)

    def build(self, fingerprint: str | None = None) -> BuildInfo:
        """The record of a build, by default of the current one.

        Raises:
            IndexMissing: there is no such build.
        """
        wanted = fingerprint or self.current()
        for info in self.builds():
            if info.fingerprint == wanted:
                return info
        raise IndexMissing(self.uri)

    def write(self, info: BuildInfo, records: Iterable[dict[str, Any]]) -> None:
        """Creates the collection of a build out of `milvus_schema.records`, durable and ready to be searched.

        Drops what an interrupted build left. The indexes are made once, when all is there.

        Raises:
            IndexUnavailable: Milvus failed, or does not find what was put into it.
        """
        name, count = schema.collection_name(info.fingerprint), 0
        sample: list[dict[str, Any]] = []
        with failures(self.uri):
            self.client.drop_collection(name)
            layout = schema.faqs_schema(info.dim, sparse=info.sparse)
            self.client.create_collection(name, schema=layout, consistency_level="Strong")
            source = iter(records)
            while batch := list(islice(source, _INSERT)):
                self.client.insert(name, batch)
                count += len(batch)
                sample += batch[:: max(1, len(batch) // _SAMPLE)]
                sample = sample[:: 1 + len(sample) // (2 * _SAMPLE)]
            self.client.flush(name, timeout=_INDEXING_S)
            self._make_searchable(name, schema.faqs_index(count, sparse=info.sparse))
        self._check(name, count, sample)

    def _make_searchable(self, name: str, indexes: Any) -> None:
        # Milvus Lite has made an index when it answers; pymilvus would look for it half a second later, each.
        self.client.create_index(name, indexes, timeout=_INDEXING_S, sync=local_path(self.uri) is None)
        self.client.load_collection(name, timeout=_INDEXING_S)

    def _check(self, name: str, count: int, sample: Sequence[dict[str, Any]]) -> None:
        with failures(self.uri):
            found = self.client.query(name, "", ["count(*)"], consistency_level="Strong")[0]["count(*)"]
            if int(found) != count:
                raise IndexUnavailable(self.uri, f"holds {found} FAQs of {count} written; build it again")
            depth, error = schema.search_params(count, 1), schema.largest_error(count)
            for record in sample:
                centre = record["dense"]
                hits = self.client.search(name, [centre], anns_field="dense", limit=1, search_params=depth)
                if not hits[0] or abs(hits[0][0]["distance"] - float(centre @ centre)) > error:
                    raise IndexUnavailable(self.uri, f"does not find {record['id']}; build it again")

    def finish(self, info: BuildInfo, statistics: Bm25Statistics) -> None:
        """Writes the record of a build: from now on it may be served."""
        records = _records(info.fingerprint, "terms", statistics.to_json())
        records.append(_record(info.fingerprint, "info", 0, info.to_json()))
        with failures(self.uri):
            if not self.client.has_collection(schema.BUILDS):
                layout = schema.builds_schema()
                self.client.create_collection(schema.BUILDS, schema=layout, consistency_level="Strong")
                self._make_searchable(schema.BUILDS, schema.builds_index())
            self.client.delete(schema.BUILDS, filter=f'fingerprint == "{info.fingerprint}"')
            self.client.insert(schema.BUILDS, records)
            self.client.flush(schema.BUILDS)

    def statistics(self, fingerprint: str) -> Bm25Statistics:
        """BM25 statistics of a build."""
        return Bm25Statistics.from_json(self._joined(fingerprint, "terms"))

    def note_offers(self, fingerprint: str, offers: Offers) -> None:
        """Stores with a finished build what its titles find."""
        expr = f'kind == "offers" and fingerprint == "{fingerprint}"'
        records = _records(fingerprint, "offers", offers.to_json())
        with failures(self.uri):
            self.client.delete(schema.BUILDS, filter=expr)
            for start in range(0, len(records), _INSERT):
                self.client.insert(schema.BUILDS, records[start : start + _INSERT])
            self.client.flush(schema.BUILDS)

    def offers(self, fingerprint: str) -> Offers | None:
        """What the titles of a build find; None where that is not known (yet)."""
        text = self._joined(fingerprint, "offers")
        return Offers.from_json(text) if text else None

    def _joined(self, fingerprint: str, kind: str) -> str:
        """A text that is stored in pieces, read a page at a time: a server bounds what one reply may hold."""
        pieces: list[dict[str, Any]] = []
        with failures(self.uri):
            self.client.load_collection(schema.BUILDS)
            while True:
                start = len(pieces)
                expr = (
                    f'kind == "{kind}" and fingerprint == "{fingerprint}" '
                    f"and piece >= {start} and piece < {start + _INSERT}"
                )
                page = self._query(schema.BUILDS, expr, ["piece", "payload"])
                pieces += page
                if len(page) < _INSERT:
                    break
        pieces.sort(key=lambda row: int(row["piece"]))
        return "".join(row["payload"] for row in pieces)

    def activate(self, fingerprint: str) -> None:
        """Moves the alias to a finished build; readers see the old one or the new one, nothing else."""
        name = schema.collection_name(fingerprint)
        with failures(self.uri):
            self.client.load_collection(name)
            if schema.ALIAS in self.client.list_aliases()["aliases"]:
                self.client.alter_alias(name, schema.ALIAS)
            else:
                self.client.create_alias(name, schema.ALIAS)

    def prune(self, keep: Sequence[str]) -> list[str]:
        """Drops every build, finished or not, but those in `keep` and their bases.

        Returns the dropped fingerprints.
        """
        keep = [*keep, *(info.base for info in self.builds() if info.fingerprint in keep and info.base)]
        with failures(self.uri):
            found = [f for name in self.client.list_collections() if (f := schema.fingerprint_of(name))]
            dropped = [fingerprint for fingerprint in found if fingerprint not in keep]
            for fingerprint in dropped:
                self.client.drop_collection(schema.collection_name(fingerprint))
                if self.client.has_collection(schema.BUILDS):
                    self.client.delete(schema.BUILDS, filter=f'fingerprint == "{fingerprint}"')
        return dropped

    def read(self, info: BuildInfo, fields: Sequence[str]) -> list[dict[str, Any]]:
        """Reads every record of a build, page by page: a server bounds what one reply may hold."""
        name = schema.collection_name(info.fingerprint)
        found: list[dict[str, Any]] = []
        with failures(self.uri):
            self.client.load_collection(name)
            while True:
                start = len(found)
                expr = f"number >= {start} and number < {start + _READ}"
                page = self._query(name, expr, fields)
                found += page
                if len(page) < _READ:
                    return found

    def _query(self, collection: str, expr: str, fields: Sequence[str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.client.query(
            collection, expr, list(fields), consistency_level="Strong"
        )
        return found


def _records(fingerprint: str, kind: str, text: str) -> list[dict[str, Any]]:
    pieces = [text[i : i + _PIECE_CHARS] for i in range(0, len(text), _PIECE_CHARS)]
    return [_record(fingerprint, kind, n, piece) for n, piece in enumerate(pieces)]


def _record(fingerprint: str, kind: str, piece: int, payload: str) -> dict[str, Any]:
    return {
        "id": f"{fingerprint}:{kind}{piece}",
        "fingerprint": fingerprint,
        "kind": kind,
        "piece": piece,
        "payload": payload,
        "unused": [0.0, 0.0],
    }
