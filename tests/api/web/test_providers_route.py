"""GET /providers on a real server with a real upstream."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.api.live import ask, wait_until
from tests.api.providers.faults import stack
from tests.api.providers.upstream import ANSWER, Upstream, upstream_in_thread

QUESTION = "반품 배송비는 누가 내나요?"


@pytest.fixture(scope="module")
def server() -> Iterator[Upstream]:
    with upstream_in_thread() as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Upstream, data_dir: Path) -> Iterator[httpx.Client]:
    # Whatever runs on this machine where a vLLM is expected has no part in it.
    nobody = {"SMARTSTORE_PROVIDERS__ENDPOINTS__VLLM__BASE_URL": "http://127.0.0.1:9/v1"}
    with stack(server, data_dir, stand_in=True, **nobody) as live, live.client() as http:
        yield http


def listed(client: httpx.Client) -> dict[str, dict[str, object]]:
    body = client.get("/providers").json()
    assert (body["default"], body["fallback"]) == ("extractive", ["extractive"])
    return {each["name"]: each for each in body["providers"]}


def test_providers_tell_names_models_and_what_is_wrong(client: httpx.Client) -> None:
    found = listed(client)
    assert found["extractive"]["healthy"] is True
    assert found["none-before"]["model"] == "small-model"
    assert found["none-before"]["healthy"] is True
    assert found["openai"]["healthy"] is False
    assert "SMARTSTORE_PROVIDERS__ENDPOINTS__OPENAI__API_KEY" in str(found["openai"]["detail"])
    assert found["vllm"]["healthy"] is False


def test_providers_count_answers_tokens_and_latency(client: httpx.Client) -> None:
    before = listed(client)["none-before"]
    assert ask(client, QUESTION, provider="none-before")[-1].data["answer"] == ANSWER
    after = listed(client)["none-before"]
    assert after["prompt_tokens"] == int(str(before["prompt_tokens"])) + 1000
    assert after["answers"]["answered"] == before["answers"]["answered"] + 1  # type: ignore[index]
    assert after["first_token"]["p95_ms"] > 0  # type: ignore[index]


def test_provider_switches_in_the_middle_of_a_session_by_name(client: httpx.Client) -> None:
    first = ask(client, QUESTION, provider="extractive")
    session_id = first[0].data["session_id"]
    names = [first[-1].data["provider"]]
    for provider in ("none-before", None, "extractive"):
        chosen = {"provider": provider} if provider else {}
        events = ask(client, "그럼 교환 배송비는요?", session_id=session_id, **chosen)
        names.append(events[-1].data["provider"])
    assert names == ["extractive", "none-before", "none-before", "extractive"]


def test_stopping_an_answer_frees_the_upstream(client: httpx.Client, server: Upstream) -> None:
    server.piece_s = 0.3
    body = {"question": QUESTION, "provider": "none-before"}
    with client.stream("POST", "/chat", json=body) as response:
        wait_until(lambda: server.streaming == 1)
        client.delete(f"/chat/turns/{response.headers['x-turn-id']}")
        wait_until(lambda: server.streaming == 0)
    server.piece_s = 0.0
    assert server.requests[-1].hung_up_at is not None
