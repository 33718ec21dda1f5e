"""Milvus Lite: serves a local file to this process over loopback for as long as it is open.

Knows the file's lock (one process at a time) and waits for it; knows no collections.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from types import TracebackType

from retrieval.errors import IndexUnavailable

_POLL_S = 0.1


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
