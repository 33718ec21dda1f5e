"""Writes a drill's section of docs/resilience.md and leaves the rest of the file alone."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parent.parent.parent / "docs" / "resilience.md"
_HEAD = """# Resilience

What happens to turns when parts of the cluster fail. Every table is written by its drill: real
`smartstore serve` and `smartstore worker` processes, a Redis, a RabbitMQ node and a `milvus-lite server`
of their own, an OpenAI-compatible upstream that streams ten pieces over 2.5 s, and the bundled sample as
corpus. `make drills` runs them all (about fifteen minutes), `make drill-NAME` one of them.

The machine of these figures had 2 cores shared with other heavy work (see the load average below each
table), so times are upper bounds rather than what an idle machine shows.
"""


def write_section(name: str, text: str) -> None:
    """Puts `text` between the marks of `name`, or appends it with marks; prints it too."""
    stamp = (
        f"Measured {date.today().isoformat()}, {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}."
    )
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    document = DOCUMENT.read_text(encoding="utf-8") if DOCUMENT.exists() else _HEAD
    block = f"{begin}\n{text.strip()}\n\n{stamp}\n{end}"
    if begin in document:
        before, _, rest = document.partition(begin)
        document = before + block + rest.partition(end)[2]
    else:
        document = f"{document.rstrip()}\n\n{block}\n"
    DOCUMENT.write_text(document, encoding="utf-8")
    print(text, stamp, sep="\n", flush=True)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table, first column left, the others right."""
    lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
    return "\n".join(lines + [f"| {' | '.join(str(cell) for cell in row)} |" for row in rows])
