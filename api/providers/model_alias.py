"""What a model alias such as `faq-current` stands for right now, by the registry's pointer file.

`smartstore adapters promote` replaces the file; every process that answers looks at it before each answer.
Knows neither adapters nor servers.
"""

from __future__ import annotations

from pathlib import Path
from threading import Lock

import structlog

from serving.registry.errors import PointerError
from serving.registry.pointer import Pointer, read_pointer

log = structlog.get_logger(__name__)


class ModelAlias:
    """Follows one pointer file.

    Args:
        name: the alias; also what it stands for as long as there is no file.
        file: the pointer.
    """

    def __init__(self, name: str, file: Path) -> None:
        self.name, self._file = name, file
        self._seen: tuple[int, int, int] | None = None
        self._pointer = Pointer()
        self._lock = Lock()

    def resolve(self, session_id: str | None = None) -> str:
        """The model that answers this session; the same one each time while the file stays as it is."""
        return self._read().model_for(session_id) or self.name

    def _read(self) -> Pointer:
        """The pointer as it is now; a file that cannot be read leaves the last one in force."""
        with self._lock:
            try:
                stat = self._file.stat()
                seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
                if seen != self._seen:
                    self._seen = seen
                    self._pointer = read_pointer(self._file)
                    log.info("model_alias_moved", alias=self.name, model=self._pointer.model_for())
            except FileNotFoundError:
                self._seen, self._pointer = None, Pointer()
            except (OSError, PointerError) as exc:
                log.error("model_alias_unreadable", alias=self.name, file=str(self._file), error=str(exc))
            return self._pointer
