"""Who is calling. Knows callers and what they may do, not what they ask for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """The owner of sessions and turns; `id` is opaque and safe to log."""

    id: str


async def authorise() -> Caller:
    """The caller of this request: without keys, everybody on this machine is one caller."""
    return Caller("local")
