"""One page of figures about a process that answers turns, kept and compared with an earlier page.

Start, first text, CPU by part of a turn, memory. Knows figures and files; not how a turn is asked.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean

import numpy as np

from api.errors import CommandError


@dataclass(frozen=True, slots=True)
class BenchPage:
    """What was measured, and where.

    Attributes:
        figures: by name with its unit, in the order shown.
        machine: cores, load, Python.
    """

    figures: Mapping[str, float]
    machine: str

    def save(self, path: Path) -> None:
        """Keeps the page."""
        path.write_text(json.dumps(asdict(self), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> BenchPage:
        """Reads what `save` wrote. Raises `CommandError`."""
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            return cls({str(k): float(v) for k, v in told["figures"].items()}, str(told["machine"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
            raise CommandError(f"{path} is no saved run of `smartstore bench` ({exc})") from exc

    def rows(self, before: BenchPage | None) -> list[tuple[str, ...]]:
        """Name and figure; with a page before also its figure and how many times as much it is now."""
        rows: list[tuple[str, ...]] = []
        for name, now in self.figures.items():
            if before is None:
                rows.append((name, f"{now:,.1f}"))
                continue
            old = before.figures.get(name)
            ratio = f"{now / old:.2f}x" if old else "-"
            rows.append((name, f"{now:,.1f}", "-" if old is None else f"{old:,.1f}", ratio))
        return rows


def bench_page(
    times: Mapping[str, Sequence[float]], cpu: Mapping[str, Sequence[float]], start: Mapping[str, float]
) -> BenchPage:
    """Joins the figures of one run.

    Args:
        times: milliseconds by step, as `measure` gives them.
        cpu: CPU milliseconds by part of a turn; empty where another process answers.
        start: figures about the start; empty where another process answers.
    """
    figures = dict(start)
    for step in ("first delta", "whole turn"):
        values = times[step]
        figures[f"{step}, p50 (ms)"] = round(float(np.percentile(values, 50)), 2)
        figures[f"{step}, p95 (ms)"] = round(float(np.percentile(values, 95)), 2)
    figures |= {f"CPU a turn: {part} (ms)": round(mean(values), 2) for part, values in cpu.items()}
    if cpu:
        figures["CPU a turn (ms)"] = round(sum(mean(values) for values in cpu.values()), 2)
        figures["memory at its peak (MiB)"] = round(peak_memory() / 2**20, 1)
    load = os.getloadavg()[0]
    machine = (
        f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, load {load:.1f}"
    )
    return BenchPage(figures, machine)


def peak_memory() -> int:
    """The most bytes that this process has held."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
