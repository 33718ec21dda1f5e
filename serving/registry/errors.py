"""Errors of the registry; `serving.errors` goes on from here, for what has a server in it.

    ServingError
    ├── AdapterError   an adapter is missing, broken or of another base model
    ├── PointerError   the file behind the alias cannot be used
    ├── RegistryBusy   somebody else moves the alias right now
    └── ShapeError     a config.json describes no known model, or the model lacks a module

Every message names the offending value and the way out.
"""

from __future__ import annotations


class ServingError(Exception):
    """Base class of what this package raises on purpose."""


class AdapterError(ServingError):
    """An adapter that cannot be used; `name` is its name."""

    def __init__(self, name: str, reason: str) -> None:
        self.name, self.reason = name, reason
        super().__init__(f"adapter {name}: {reason}")


class PointerError(ServingError):
    """The pointer cannot be read, or cannot be moved like this."""


class RegistryBusy(ServingError):
    """Somebody else moves the alias or removes an adapter right now."""


class ShapeError(ServingError):
    """A model's sizes are unknown, or it has no module of that name."""
