"""Joins what several threads ask for at the same time: a pass over eight questions costs three alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Condition
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Found = TypeVar("Found")


class _Call(Generic[Asked, Found]):
    """One thread's wish and what came of it."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.found: Found | None = None
        self.failed: BaseException | None = None
        self.taken = False

    @property
    def done(self) -> bool:
        return self.found is not None or self.failed is not None


class Together(Generic[Asked, Found]):
    """Calls a function with all that waits when one of its passes ends; thread-safe.

    No one waits for others to come: a thread that finds a pass free starts at once, with those who wait.

    Attributes:
        waiting: calls that no pass has taken yet.
    """

    def __init__(self, run: Callable[[Sequence[Asked]], Sequence[Found]], *, at_once: int, most: int) -> None:
        """`run` answers in the order asked; `at_once` passes run side by side, with `most` wishes each."""
        self._run, self._at_once, self._most = run, at_once, most
        self._changed = Condition()
        self.waiting: list[_Call[Asked, Found]] = []
        self._running = 0

    def __call__(self, asked: Asked) -> Found:
        """What `run` finds for `asked`; raises what it raises."""
        call = _Call[Asked, Found](asked)
        with self._changed:
            self.waiting.append(call)
            self._changed.wait_for(lambda: call.done or (not call.taken and self._running < self._at_once))
            batch = [] if call.done else self._next_batch(call)
        if batch:
            self._answer(batch)
        if call.failed is not None:
            raise call.failed
        assert call.found is not None
        return call.found

    def _next_batch(self, call: _Call[Asked, Found]) -> list[_Call[Asked, Found]]:
        self.waiting.remove(call)
        batch = [call, *self.waiting[: self._most - 1]]
        del self.waiting[: self._most - 1]
        for each in batch:
            each.taken = True
        self._running += 1
        return batch

    def _answer(self, batch: Sequence[_Call[Asked, Found]]) -> None:
        try:
            found = self._run([call.asked for call in batch])
            for call, answer in zip(batch, found, strict=True):
                call.found = answer
        except BaseException as exc:
            for call in batch:
                call.failed = exc
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()
