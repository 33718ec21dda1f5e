"""The file that an expansion job writes: one finished FAQ a line, readable after any kill.

Knows the line format of `retrieval.corpus.expansions`; knows no model and no corpus.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Sequence
from io import BufferedRandom
from pathlib import Path
from types import TracebackType

from api.errors import Conflict
from retrieval.corpus.expansions import read_expansions
from retrieval.errors import CorpusError


class ExpansionFile:
    """Appends expansions to a file and knows which FAQs it holds; a context manager.

    Attributes:
        done: ids of the FAQs in the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done: set[str] = set()
        self._file: BufferedRandom | None = None

    def __enter__(self) -> ExpansionFile:
        """Opens the file, which may exist.

        Raises:
            Conflict: another process writes it.
            CorpusError: a line of it is no expansion.
            OSError: it cannot be written.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._mend(self._file)
            self.done = set(read_expansions(self.path))
        except BlockingIOError as exc:
            self._file.close()
            raise Conflict(
                "다른 작업이 이 파일에 쓰고 있습니다. 끝난 뒤에 다시 시도해 주세요.",
                english=f"another `smartstore expand` is writing {self.path}",
            ) from exc
        except CorpusError:
            self._file.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            if not self.done and not self.path.stat().st_size:
                self.path.unlink()
            self._file.close()

    def add(self, id: str, queries: Sequence[str]) -> None:
        """Appends one FAQ's queries; they are with the system when this returns."""
        if self._file is None:
            raise RuntimeError(f"{self.path} is not open")
        line = json.dumps({"id": id, "queries": list(queries)}, ensure_ascii=False)
        self._file.write(line.encode() + b"\n")
        self._file.flush()
        self.done.add(id)

    @staticmethod
    def _mend(file: BufferedRandom) -> None:
        """Ends the last line, or takes it off where a killed run left half of it."""
        file.seek(0)
        content = file.read()
        whole = content.rfind(b"\n") + 1
        last = content[whole:]
        if not last:
            return
        try:
            json.loads(last)
            file.write(b"\n")
        except ValueError:
            file.truncate(whole)
        file.flush()
