"""Embeddings over HTTP: what is sent, what is tried again, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest

from retrieval.embedders.openai import OpenAIEmbedder
from retrieval.errors import EmbedderError
from tests.conftest import free_port
from tests.retrieval.embedders.embedding_server import Behaviour, embedding_server
from tests.retrieval.index.index_kit import HashingEmbedder


@pytest.fixture
def client() -> Iterator[Callable[..., OpenAIEmbedder]]:
    """Makes embedders that are closed at the end of the test."""
    with ExitStack() as stack:

        def make(url: str, *, model: str = "m", **options: Any) -> OpenAIEmbedder:
            embedder = OpenAIEmbedder(url, model=model, **options)
            stack.callback(embedder.close)
            return embedder

        yield make


def test_openai_sends_model_and_key_in_batches(client) -> None:
    behaviour = Behaviour()
    with embedding_server(behaviour) as url:
        embedder = client(url + "/", model="bge-m3", dim=64, api_key="비밀".encode().hex())
        texts = [f"질문 {n}" for n in range(130)]
        dense = embedder.embed_queries(texts).dense

    assert [len(body["input"]) for body, _ in behaviour.requests] == [64, 64, 2]
    assert {body["model"] for body, _ in behaviour.requests} == {"bge-m3"}
    assert behaviour.requests[0][1] == "Bearer " + "비밀".encode().hex()
    np.testing.assert_allclose(dense, HashingEmbedder().embed_queries(texts).dense, atol=1e-6)


def test_openai_normalises_what_it_gets(client) -> None:
    with embedding_server(Behaviour(scale=7.5)) as url:
        dense = client(url, dim=64).embed_queries(["정산"]).dense

    assert np.linalg.norm(dense) == pytest.approx(1.0)


def test_openai_waits_as_long_as_a_busy_server_asks(client, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("retrieval.embedders.model_server.time.sleep", pauses.append)
    faults = [
        (429, {"Retry-After": "7"}, "slow down"),
        (503, {}, "starting"),
        (503, {"Retry-After": "soon"}, ""),
    ]
    behaviour = Behaviour(faults=faults)
    with embedding_server(behaviour) as url:
        dense = client(url, dim=64, attempts=4).embed_queries(["정산"]).dense

    assert dense.shape == (1, 64)
    assert len(behaviour.requests) == 4
    assert pauses[0] == 7.0
    assert pauses[1:] == sorted(pauses[1:])


def test_openai_gives_up_and_says_why(client) -> None:
    behaviour = Behaviour(faults=[(500, {}, "out of memory")] * 2)
    with embedding_server(behaviour) as url, pytest.raises(EmbedderError, match="HTTP 500: out of memory"):
        client(url, dim=64, attempts=2).embed_queries(["정산"])


def test_openai_does_not_repeat_what_was_refused(client) -> None:
    behaviour = Behaviour(faults=[(401, {}, "bad key")])
    with embedding_server(behaviour) as url, pytest.raises(EmbedderError, match="HTTP 401: bad key"):
        client(url, dim=64).embed_queries(["정산"])
    assert len(behaviour.requests) == 1


@pytest.mark.parametrize(
    "reply", ["no json", "{}", json.dumps({"data": [{"index": 0, "embedding": ["x"]}]}), json.dumps([1])]
)
def test_openai_refuses_what_is_no_embedding(client, reply: str) -> None:
    with (
        embedding_server(Behaviour(faults=[(200, {}, reply)])) as url,
        pytest.raises(EmbedderError, match="not an embeddings reply"),
    ):
        client(url, dim=64).embed_queries(["정산"])


def test_openai_refuses_vectors_of_another_size(client) -> None:
    with embedding_server(Behaviour()) as url, pytest.raises(EmbedderError, match="check the embedder's dim"):
        client(url, dim=1024).embed_queries(["정산"])


def test_openai_refuses_a_zero_vector(client) -> None:
    with (
        embedding_server(Behaviour(scale=0.0)) as url,
        pytest.raises(EmbedderError, match="zero or not finite"),
    ):
        client(url, dim=64).embed_queries(["정산"])


def test_openai_reports_a_server_that_is_away(client) -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"
    with pytest.raises(EmbedderError, match="ConnectError"):
        client(url, dim=64, attempts=1).embed_queries(["정산"])


@pytest.mark.parametrize("url", ["", "localhost:8000/v1", "ftp://host"])
def test_openai_refuses_a_base_url_that_is_none(client, url: str) -> None:
    with pytest.raises(EmbedderError, match="must begin with http"):
        client(url, dim=64)
