"""What turns and jobs differ in, as far as their records and logs are concerned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from api.errors import ApiError, NotFound

Event = TypeVar("Event")


@dataclass(frozen=True, slots=True)
class WorkKind(Generic[Event]):
    """One kind of long work.

    Attributes:
        key: the kind of its keys in the state store.
        label: what readers call it, in Korean.
        encode: an event as text without a raw line break.
        decode: the event that `encode` wrote.
        status_after: the status of work that this event ends; "" for any other event.
    """

    key: str
    label: str
    encode: Callable[[Event], str]
    decode: Callable[[str], Event]
    status_after: Callable[[Event], str]

    def unknown(self, work_id: str) -> NotFound:
        """What to raise for an id without a record."""
        return NotFound(
            f"{self.label} '{work_id[:40]}'을(를) 찾을 수 없습니다. 보관 기간이 지났을 수 있습니다.",
            english=f"there is no {self.key} {work_id[:40]!r}",
        )

    def lost(self, work_id: str) -> LeaseLost:
        """What to raise where another run holds the work or it has ended."""
        return LeaseLost(f"{self.label} '{work_id}'은(는) 다른 실행이 맡았거나 이미 끝났습니다.")


class LeaseLost(ApiError):
    """Another run has taken this work over, or it is closed: write no more."""

    code = "lease_lost"
    english = "another run holds the work, or it has ended"
