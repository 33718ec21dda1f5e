"""`smartstore search`: what the index finds for a question."""

from __future__ import annotations

from typing import Annotated

import typer


def search(
    query: Annotated[str, typer.Argument(help="the question, in quotes")],
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=50, help="how many FAQs")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON with every partial score")] = False,
) -> None:
    """Search the FAQ and print the hits with their scores; works while the server runs."""
    import json

    from rich.console import Console
    from rich.table import Table

    from api.indexing.opening import open_searcher
    from api.settings import load_settings

    result = open_searcher(load_settings()).search(query, limit=limit)
    if as_json:
        hits = [
            {"id": h.faq.id, "question": h.faq.question, "score": h.score, "scores": dict(h.scores)}
            for h in result.hits
        ]
        report = {"query": query, "hits": hits, "timings_ms": dict(result.timings_ms)}
        typer.echo(json.dumps(report, ensure_ascii=False, indent=2))
        return
    table = Table("", "score", "question", "id", box=None)
    for n, hit in enumerate(result.hits, start=1):
        table.add_row(str(n), f"{hit.score:.3f}", hit.faq.question, hit.faq.id)
    console = Console()
    console.print(table)
    took = ", ".join(f"{step} {ms:.1f} ms" for step, ms in result.timings_ms.items())
    console.print(took, style="dim")
