"""What a model alias such as `faq-current` stands for right now, read from a small pointer file.

    {"model": "faq-20261122-1a2b3c4d", "ab": {"model": "faq-20261123-5e6f7a8b", "share": 0.1}}

`smartstore adapters promote` replaces the file; every process that answers reads it again when it has
changed, so the alias moves without a restart. Adapter names are never used twice, hence a server's prefix
cache can never mix two of them. Knows neither adapters nor servers.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from threading import Lock

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

log = structlog.get_logger(__name__)


class Split(BaseModel):
    """A `share` of the sessions (0 to 1) gets `model` instead."""

    model_config = ConfigDict(frozen=True)

    model: str = Field(min_length=1)
    share: float = Field(ge=0, le=1)


class Pointer(BaseModel):
    """What the file holds; further keys are for those who write it."""

    model_config = ConfigDict(frozen=True)

    model: str = Field(min_length=1)
    ab: Split | None = None


class ModelAlias:
    """Follows one pointer file.

    Args:
        name: the alias; also what it stands for as long as there is no file.
        file: the pointer.
    """

    def __init__(self, name: str, file: Path) -> None:
        self.name, self._file = name, file
        self._seen: tuple[int, int, int] | None = None
        self._pointer = Pointer(model=name)
        self._lock = Lock()

    def resolve(self, session_id: str | None = None) -> str:
        """The model that answers this session; the same one each time while the file stays as it is."""
        pointer = self._read()
        if pointer.ab is None or not session_id:
            return pointer.model
        return pointer.ab.model if chosen(session_id, pointer.ab) else pointer.model

    def _read(self) -> Pointer:
        """The pointer as it is now; a file that cannot be read leaves the last one in force."""
        with self._lock:
            try:
                stat = self._file.stat()
                seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
                if seen != self._seen:
                    self._seen = seen
                    self._pointer = Pointer.model_validate_json(self._file.read_bytes())
                    log.info("model_alias_moved", alias=self.name, model=self._pointer.model)
            except FileNotFoundError:
                self._seen, self._pointer = None, Pointer(model=self.name)
            except (OSError, ValidationError) as exc:
                log.error("model_alias_unreadable", alias=self.name, file=str(self._file), error=str(exc))
            return self._pointer


def chosen(session_id: str, split: Split) -> bool:
    """Whether a session belongs to the split's share; another experiment draws other sessions."""
    digest = hashlib.sha256(f"{split.model}:{session_id}".encode()).digest()
    return int.from_bytes(digest[:8]) < split.share * 2**64
