"""The file that says which adapter the alias `faq-current` stands for.

    {"model": "faq-…", "ab": {"model": "faq-…", "share": 0.1}, "earlier": ["faq-…"], "moved_at": "…"}

Every process that answers reads it again when it changes, so the alias moves without a restart. Without
the file the base model answers. Adapter names are never used twice, hence a server's prefix cache can never
mix two of them. Knows one file; whoever moves the alias holds its lock.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from serving.registry.errors import PointerError, RegistryBusy

FILE = "current.json"
_KEPT = 10


@dataclass(frozen=True, slots=True)
class Pointer:
    """Who answers.

    Attributes:
        model: the adapter in service; empty while the base model answers.
        candidate: an adapter on trial, empty without one.
        share: of the sessions that the candidate answers, 0 to 1.
        earlier: what was in service before, newest last; empty names stand for the base model.
        base: the name to ask for while the base model answers; empty: the alias itself.
    """

    model: str = ""
    candidate: str = ""
    share: float = 0.0
    earlier: tuple[str, ...] = ()
    base: str = ""

    def model_for(self, session_id: str | None = None) -> str:
        """The model that answers a session, the same one each time; empty where the alias itself does."""
        if self.candidate and session_id and self._tries(session_id):
            return self.candidate
        return self.model or self.base

    def _tries(self, session_id: str) -> bool:
        """Whether a session belongs to the trial's share; another experiment draws other sessions."""
        digest = hashlib.sha256(f"{self.candidate}:{session_id}".encode()).digest()
        return int.from_bytes(digest[:8]) < self.share * 2**64

    @property
    def used(self) -> tuple[str, ...]:
        """Adapters that a server must have loaded: in service, on trial, and the one to go back to."""
        names = (self.model, self.candidate, *self.earlier[-1:])
        return tuple(dict.fromkeys(name for name in names if name))

    def promoted(self, name: str) -> Pointer:
        """With `name` in service and no trial."""
        if name == self.model:
            return replace(self, candidate="", share=0.0)
        return Pointer(model=name, earlier=(*self.earlier, self.model)[-_KEPT:])

    def trying(self, name: str, share: float) -> Pointer:
        """With `name` on trial for a share of the sessions."""
        return replace(self, candidate=name, share=share)

    def rolled_back(self) -> Pointer:
        """Without the trial, or with what was in service before.

        Raises:
            PointerError: nothing was promoted before.
        """
        if self.candidate:
            return self.ended()
        if not self.earlier:
            raise PointerError("there is nothing to go back to: the alias has never been moved")
        return Pointer(model=self.earlier[-1], earlier=self.earlier[:-1])

    def ended(self) -> Pointer:
        """Without the trial.

        Raises:
            PointerError: there is none.
        """
        if not self.candidate:
            raise PointerError("there is no trial to end")
        return replace(self, candidate="", share=0.0)

    def forgetting(self, name: str) -> Pointer:
        """Without `name` among the earlier ones."""
        return replace(self, earlier=tuple(each for each in self.earlier if each != name))


def read_pointer(file: Path) -> Pointer:
    """The pointer as it is; the base model answers where there is no file.

    Raises:
        PointerError: the file holds something else.
    """
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        trial = told.get("ab") or {"model": "", "share": 0.0}
        model, share = str(told["model"]), float(trial["share"])
        if not model or not 0 <= share <= 1:
            raise ValueError("a model needs a name, a share lies between 0 and 1")
        is_adapter = bool(told.get("adapter", True))
        return Pointer(
            model=model if is_adapter else "",
            candidate=str(trial["model"]),
            share=share,
            earlier=tuple(told.get("earlier", ())),
            base="" if is_adapter else model,
        )
    except FileNotFoundError:
        return Pointer()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise PointerError(
            f"{file}: cannot be used ({exc!r}); remove it to let the base model answer"
        ) from exc


def write_pointer(registry: Path, pointer: Pointer, *, base: str) -> None:
    """Moves the alias; a reader sees the old file or the new one, never half of one.

    Args:
        registry: the folder of the adapters.
        pointer: who answers from now on.
        base: the name that a server serves its base model under.
    """
    told: dict[str, object] = {"model": pointer.model or base, "adapter": bool(pointer.model)}
    if pointer.candidate:
        told["ab"] = {"model": pointer.candidate, "share": pointer.share}
    told |= {"earlier": list(pointer.earlier), "moved_at": datetime.now(UTC).isoformat(timespec="seconds")}
    registry.mkdir(parents=True, exist_ok=True)
    fresh = registry / f"{FILE}.new"
    fresh.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    fresh.replace(registry / FILE)


@contextmanager
def locked(registry: Path, *, wait: bool = True) -> Iterator[None]:
    """One at a time moves the alias or removes adapters; others wait.

    Raises:
        RegistryBusy: another one is at it, and `wait` is false.
    """
    registry.mkdir(parents=True, exist_ok=True)
    with (registry / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as exc:
            raise RegistryBusy(f"{registry}: somebody else moves the alias right now") from exc
        yield
