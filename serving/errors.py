"""Errors of the serving package.

    ServingError         from the registry, with its AdapterError, PointerError, RegistryBusy and ShapeError
    ├── ConfigError      a configuration file cannot be used
    ├── CannotServe      pre-flight: model, memory, disk, port or engine do not allow a start
    ├── CanaryFailed     a loaded adapter does not do what it did when it was trained
    └── ServerFailed     vLLM cannot be reached, refuses, or does not stay up

Every message names the offending value and the way out.
"""

from __future__ import annotations

from pathlib import Path

from serving.registry.errors import AdapterError, PointerError, RegistryBusy, ServingError

__all__ = [
    "AdapterError",
    "CanaryFailed",
    "CannotServe",
    "ConfigError",
    "PointerError",
    "RegistryBusy",
    "ServerFailed",
    "ServingError",
]


class ConfigError(ServingError):
    """A configuration file cannot be used; `path` is the file."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(f"{path}: {reason}")


class CannotServe(ServingError):
    """The server must not be started like this."""


class CanaryFailed(ServingError):
    """The adapter `name` is loaded, and does not answer as it did in training."""

    def __init__(self, name: str, reason: str) -> None:
        self.name, self.reason = name, reason
        super().__init__(f"canary of {name}: {reason}")


class ServerFailed(ServingError):
    """A request to vLLM failed, or its process did; `url` says which."""

    def __init__(self, url: str, reason: str) -> None:
        self.url, self.reason = url, reason
        super().__init__(f"{url}: {reason}")
