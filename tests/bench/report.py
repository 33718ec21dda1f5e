"""Writes a measurement's section of a document and leaves the rest of the file alone."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parent.parent.parent / "docs" / "performance.md"
_WRITTEN = "Each section is written by the command it names; run it again to replace the figures."


def write_section(name: str, text: str, *, path: Path = DOCUMENT, title: str = "Performance") -> None:
    """Puts `text` between the marks of `name`, or appends it with marks.

    Args:
        name: of the section.
        text: Markdown.
        path: the document; made where it is missing.
        title: of a document that is made.
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    document = path.read_text(encoding="utf-8") if path.exists() else f"# {title}\n\n{_WRITTEN}\n"
    block = f"{begin}\n{text.strip()}\n{end}"
    if begin in document:
        before, _, rest = document.partition(begin)
        document = before + block + rest.partition(end)[2]
    else:
        document = f"{document.rstrip()}\n\n{block}\n"
    path.parent.mkdir(exist_ok=True)
    path.write_text(document, encoding="utf-8")


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table, first column left, the others right."""
    lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
    return "\n".join(lines + [f"| {' | '.join(str(cell) for cell in row)} |" for row in rows])


def conditions() -> str:
    """Where and when this was measured."""
    load = os.getloadavg()[0]
    return (
        f"Measured {date.today().isoformat()} on {os.cpu_count()} cores ({platform.machine()}), "
        f"Python {platform.python_version()}, load average {load:.1f} at the end."
    )
