"""A real local server that speaks `/v1/embeddings`, and misbehaves on demand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.retrieval.index.index_kit import HashingEmbedder
from tests.retrieval.json_server import JsonHandler, serving


@dataclass
class Behaviour:
    """What the server does, and what it was asked.

    Attributes:
        faults: replies to give first, one per request: status code, headers, body.
        scale: factor on every vector, to see that they are normalised.
        requests: body and authorisation of every request.
    """

    faults: list[tuple[int, dict[str, str], str]] = field(default_factory=list)
    scale: float = 1.0
    requests: list[tuple[dict[str, Any], str | None]] = field(default_factory=list)


@contextmanager
def embedding_server(behaviour: Behaviour) -> Iterator[str]:
    """Serves 64-dimensional vectors; yields the base URL."""
    embedder = HashingEmbedder()

    class Handler(JsonHandler):
        def do_POST(self) -> None:  # noqa: N802 (the library's name)
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            behaviour.requests.append((body, self.headers["Authorization"]))
            if self.path != "/v1/embeddings":
                return self.reply(404, {}, "no such path")
            if behaviour.faults:
                return self.reply(*behaviour.faults.pop(0))
            dense = embedder.embed_passages(body["input"]).dense * behaviour.scale
            data = [{"index": n, "embedding": row.tolist()} for n, row in enumerate(dense)]
            self.reply(200, {}, json.dumps({"object": "list", "data": data[::-1], "model": body["model"]}))

    with serving(Handler) as address:
        yield f"{address}/v1"
