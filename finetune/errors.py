"""Errors of the finetune package.

    FinetuneError
    ├── ConfigError     a configuration file cannot be used
    ├── DataError       training data is missing or breaks a promise
    ├── CannotFit       the model does not fit the memory the configuration names
    └── ServiceError    a server that is needed (teacher, API, vLLM) failed

Every message names the offending value and the way out.
"""

from __future__ import annotations

from pathlib import Path

from serving.registry.errors import ServingError


class FinetuneError(Exception):
    """Base class of what this package raises on purpose."""


class ConfigError(FinetuneError):
    """A configuration file cannot be used; `path` is the file."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(f"{path}: {reason}")


class DataError(FinetuneError):
    """Training data is missing, or does not keep what it promises."""


class CannotFit(FinetuneError):
    """The training would need more memory than there is; both in bytes."""

    def __init__(self, needed: float, available: float, advice: str) -> None:
        self.needed, self.available = needed, available
        super().__init__(
            f"needs {needed / 1e9:.1f} GB on each device, {available / 1e9:.1f} GB can be used; {advice}"
        )


class ServiceError(FinetuneError):
    """A server answered wrongly or not at all; `url` says which."""

    def __init__(self, url: str, reason: str) -> None:
        self.url, self.reason = url, reason
        super().__init__(f"{url}: {reason}")


# What a command prints as one line: ours, and what the registry says of adapters and shapes.
FAULTS = (FinetuneError, ServingError)
