"""Raw models over the Responses API: passed through, or written anew where a provider knows only chat."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import OpenAI

from api.web.openai.responses.from_chat import TranslatedResponse
from tests.api.live import Live, serve
from tests.api.providers.upstream import ANSWER, MODEL, Upstream, upstream_in_thread
from tests.api.web.openai.published import check, check_event

URL = "/v1/responses"
TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": True}


@pytest.fixture(scope="module")
def behind() -> Iterator[Upstream]:
    with upstream_in_thread() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(data_dir: Path, behind: Upstream) -> Iterator[Live]:
    """A gateway to providers with and without responses of their own."""
    settings = {}
    faults = {"chat": ("none", "before"), "full": ("none", "before"), "cut": ("cut", "after"),
              "busy": ("429", "before")}  # fmt: skip
    for name, fault in faults.items():
        prefix = f"SMARTSTORE_PROVIDERS__ENDPOINTS__{name.upper()}__"
        settings |= {
            f"{prefix}BASE_URL": behind.url(*fault),
            f"{prefix}MODEL": MODEL,
            f"{prefix}THIRD_PARTY": "false",
            f"{prefix}RESPONSES_API": str(name == "full").lower(),
        }
    with serve(data_dir, **settings) as server:
        yield server


@pytest.fixture
def http(gateway: Live) -> Iterator[httpx.Client]:
    with gateway.client() as client:
        yield client


def typed(text: str) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]


def test_only_the_model_is_exchanged_where_the_provider_knows_responses(
    behind: Upstream, http: httpx.Client
) -> None:
    body = {"model": "full/gpt-9", "input": [{"model": "full/x"}], "anything": [1.5, None], "stream": True}
    direct = httpx.post(f"{behind.url()}/responses", json=body | {"model": "gpt-9"})
    raw = http.post(URL, json=body)
    assert raw.content == direct.content
    assert behind.requests[-1].path.endswith("/v1/responses")
    assert behind.requests[-1].body == body | {"model": "gpt-9"}


def test_a_chat_completion_stands_in(behind: Upstream, http: httpx.Client) -> None:
    body = {
        "model": f"chat/{MODEL}",
        "instructions": "짧게",
        "input": [
            {"role": "developer", "content": "d"},
            {"role": "user", "content": [{"type": "input_text", "text": "그림"},
                                         {"type": "input_image", "image_url": "data:x"}]},
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "맑음"},
        ],
        "tools": [TOOL],
        "tool_choice": {"type": "function", "name": "weather"},
        "max_output_tokens": 50,
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}},
        "reasoning": {"effort": "low"},
        "temperature": 0.5,
    }  # fmt: skip
    response = http.post(URL, json=body)
    assert response.status_code == 200, response.text
    seen = behind.requests[-1]
    assert seen.path.endswith("/v1/chat/completions")
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    function = {"name": "weather", "parameters": {"type": "object"}, "strict": True}
    assert seen.body == {
        "model": MODEL,
        "messages": [
            {"role": "system", "content": "짧게"},
            {"role": "system", "content": "d"},
            {"role": "user", "content": [
                {"type": "text", "text": "그림"},
                {"type": "image_url", "image_url": {"url": "data:x", "detail": "auto"}}]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "맑음"},
        ],
        "tools": [{"type": "function", "function": function}],
        "tool_choice": {"type": "function", "function": {"name": "weather"}},
        "max_tokens": 50,
        "response_format": {
            "type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
        "reasoning_effort": "low",
        "temperature": 0.5,
    }  # fmt: skip
    check(response.json(), "Response")
    assert response.json()["usage"]["input_tokens"] == 1000


def test_sdk_streams_through_a_chat_completion(gateway: Live) -> None:
    with OpenAI(base_url=f"{gateway.url}/v1", api_key="unused", max_retries=0) as sdk:
        with sdk.responses.stream(model=f"chat/{MODEL}", input="안녕") as stream:
            deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
            final = stream.get_final_response()
        assert "".join(deltas) == final.output_text == ANSWER
        assert final.usage
        assert final.usage.total_tokens == 1200
        assert sdk.responses.create(model=f"chat/{MODEL}", input="안녕").output_text == ANSWER


def test_translated_events_are_what_is_published(http: httpx.Client) -> None:
    body = {"model": f"chat/{MODEL}", "input": "안녕", "stream": True}
    found = typed(http.post(URL, json=body).text)
    for event in found:
        check_event(event)
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    assert found[-1]["type"] == "response.completed"


def test_calls_of_tools_become_items() -> None:
    told = TranslatedResponse({"model": "chat/m", "tools": [TOOL]})
    chunks: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": {"content": "잠시만요"}}]},
        {"choices": [{"index": 0, "delta": {"tool_calls": [
            {"index": 0, "id": "c1", "function": {"name": "weather", "arguments": ""}}]}}]},
        {"choices": [{"index": 0, "delta": {"tool_calls": [
            {"index": 0, "function": {"arguments": '{"city":'}}]}}]},
        {"choices": [{"index": 0, "delta": {"tool_calls": [
            {"index": 0, "function": {"arguments": '"서울"}'}},
            {"index": 1, "id": "c2", "function": {"name": "weather", "arguments": "{}"}}]}}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
    ]  # fmt: skip
    sent = b"".join([*told.opening(), *(e for chunk in chunks for e in told.take(chunk)), *told.end()])
    found = typed(sent.decode())
    for event in found:
        check_event(event)
    kinds = [item["type"] for item in found[-1]["response"]["output"]]
    assert kinds == ["message", "function_call", "function_call"]
    assert found[-1]["response"]["output"][1]["arguments"] == '{"city":"서울"}'
    done = [event for event in found if event["type"] == "response.function_call_arguments.done"]
    assert [event["name"] for event in done] == ["weather", "weather"]


def test_a_completion_that_reached_its_bound_is_incomplete() -> None:
    told = TranslatedResponse({"model": "chat/m"})
    choice = {"index": 0, "message": {"content": "반"}, "finish_reason": "length"}
    whole = told.whole({"choices": [choice]})
    check(whole, "Response")
    assert (whole["status"], whole["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})


def test_a_stream_that_breaks_off_ends_with_an_error(http: httpx.Client) -> None:
    text = http.post(URL, json={"model": "cut/x", "input": "안녕", "stream": True}).text
    assert typed(text)[-1]["error"]["type"] == "server_error"
    assert "response.completed" not in text


def test_a_refusal_goes_through_as_it_came(http: httpx.Client) -> None:
    response = http.post(URL, json={"model": "busy/x", "input": "안녕", "stream": True})
    assert response.status_code == 429
    assert response.json()["error"]["message"].startswith("Rate limit")


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"store": True}, "store"),
        ({"tools": [{"type": "web_search"}]}, "function"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "item_reference"),
        ({"input": []}, "input"),
        ({"stream": "yes"}, "stream"),
    ],
    ids=str,
)
def test_what_chat_cannot_do_is_refused_before_anybody_is_asked(
    behind: Upstream, http: httpx.Client, fields: dict[str, Any], word: str
) -> None:
    before = len(behind.requests)
    response = http.post(URL, json={"model": "chat/x", "input": "안녕"} | fields)
    assert response.status_code == 400
    assert word in response.json()["error"]["message"]
    assert len(behind.requests) == before
