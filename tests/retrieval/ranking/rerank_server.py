"""A real local server: `/v1/rerank` as Jina speaks it, `/rerank` as TEI does; misbehaves on demand."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.retrieval.json_server import JsonHandler, serving


def shared(question: str, text: str) -> float:
    """The score that the server gives: the share of the question's letters that the text has."""
    letters = set(question) - {" "}
    return len(letters & set(text)) / max(1, len(letters))


@dataclass
class Behaviour:
    """What the server does, and what it was asked.

    Attributes:
        faults: replies to give first, one per request: status code and body.
        requests: path, body and authorisation of every request.
    """

    faults: list[tuple[int, str]] = field(default_factory=list)
    requests: list[tuple[str, dict[str, Any], str | None]] = field(default_factory=list)


@contextmanager
def rerank_server(behaviour: Behaviour) -> Iterator[str]:
    """Serves until the context ends; yields the root URL."""

    class Handler(JsonHandler):
        def do_POST(self) -> None:  # noqa: N802 (the library's name)
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            behaviour.requests.append((self.path, body, self.headers["Authorization"]))
            if behaviour.faults:
                status, text = behaviour.faults.pop(0)
                return self.reply(status, {}, text)
            match self.path, body:
                case "/v1/rerank", {"query": str(query), "documents": list(texts), "model": str()}:
                    results = ranked(query, texts, "relevance_score")
                    self.reply(200, {}, json.dumps({"id": "1", "results": results}))
                case "/rerank", {"query": str(query), "texts": list(texts), "truncate": True}:
                    self.reply(200, {}, json.dumps(ranked(query, texts, "score")))
                case _:
                    self.reply(422, {}, "missing field")

    with serving(Handler) as address:
        yield address


def ranked(question: str, texts: Sequence[str], name: str) -> list[dict[str, Any]]:
    """Best first, as such servers answer."""
    scored = [{"index": n, name: shared(question, text)} for n, text in enumerate(texts)]
    return sorted(scored, key=lambda one: -one[name])
