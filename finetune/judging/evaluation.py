"""Measures a provider on case files with `smartstore eval`, the scorer of the quality gates.

Knows the command and its JSON report (`per_case`, `turn_ms`); runs it in a process of its own, with the
settings of the environment, and imports nothing of it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finetune.errors import DataError, ServiceError

_SMARTSTORE = (sys.executable, "-m", "api.cli")
# Which command measures a file, by how its name ends, and what of each case counts.
_KINDS = {"answers": ("answers", "citations"), "scope": ("scope",)}


@dataclass
class Measured:
    """What one provider did.

    Attributes:
        values: by measure one number in [0, 1] a case, higher is better, in the order of the files.
        turn_ms: median milliseconds of a turn, by file.
    """

    values: dict[str, list[float]] = field(default_factory=dict)
    turn_ms: dict[str, float] = field(default_factory=dict)


def case_files(folder: Path) -> list[Path]:
    """The files of a folder that can be measured: `*answers.jsonl` and `*scope.jsonl`.

    Raises:
        DataError: there is none.
    """
    files = [file for kind in _KINDS for file in sorted(folder.glob(f"*{kind}.jsonl"))]
    if not files:
        raise DataError(f"{folder}: holds neither *answers.jsonl nor *scope.jsonl")
    return files


def measure(provider: str, files: Sequence[Path], *, model: str = "", limit: int | None = None) -> Measured:
    """Puts every case to the provider; an answer of another one is a failure.

    Args:
        provider: a name of the settings.
        files: of cases, see `case_files`.
        model: asked of its endpoint; empty: the one that the settings name.
        limit: at most so many cases of each file.

    Raises:
        ServiceError: the provider or the command failed.
    """
    found = Measured()
    chosen = {f"SMARTSTORE_PROVIDERS__ENDPOINTS__{provider.upper()}__MODEL": model} if model else {}
    for file in files:
        report = _report(provider, file, limit, os.environ | chosen)
        kind = _kind(file)
        for row in report["per_case"]:
            for name, value in _values(kind, row).items():
                found.values.setdefault(name, []).append(value)
        found.turn_ms[file.stem] = report["turn_ms"]["p50"]
    return found


def _kind(file: Path) -> str:
    return next(kind for kind in _KINDS if file.stem.endswith(kind))


def _values(kind: str, row: Mapping[str, Any]) -> dict[str, float]:
    if kind == "scope":
        return {"scope": float(row["right"])}
    return {"answers": float(row["passed"]), "citations": float(not row["uncited"])}


def _report(provider: str, file: Path, limit: int | None, environment: Mapping[str, str]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        cases = Path(folder) / file.name
        try:
            lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
        except OSError as exc:
            raise DataError(f"{file}: cannot be read ({exc.strerror})") from exc
        cases.write_text("\n".join(lines[:limit]) + "\n", encoding="utf-8")
        command = [*_SMARTSTORE, "eval", _kind(file), "--cases", str(cases), "--provider", provider, "--json"]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise ServiceError(" ".join(command[-6:]), done.stderr.strip()[-600:])
    report: dict[str, Any] = json.loads(done.stdout)
    return report
