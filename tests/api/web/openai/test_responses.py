"""The Responses API by the unmodified `openai` SDK, and held against OpenAI's description."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI

from api.errors import NotFound
from api.events import REFUSAL
from api.state.connection import State
from api.web.openai.responses.stored import StoredResponse, StoredResponses
from tests.api.live import Live, serve
from tests.api.providers.upstream import MODEL, upstream_in_thread
from tests.api.web.openai.published import check, check_event

MINORS = "미성년자도 판매 회원 등록이 가능한가요?"
PAPERS = "그럼 서류는 뭐가 필요해?"


@pytest.fixture
def sdk(live: Live) -> Iterator[OpenAI]:
    """The SDK's client."""
    with OpenAI(base_url=f"{live.url}/v1", api_key="unused", max_retries=0) as client:
        yield client


def events(client: httpx.Client, **body: Any) -> list[dict[str, Any]]:
    """The typed events of a streamed response."""
    response = client.post("/v1/responses", json={"model": "faq", "input": MINORS, "stream": True} | body)
    assert response.status_code == 200, response.text
    return parsed(response.text)


def parsed(text: str) -> list[dict[str, Any]]:
    found = []
    for block in text.strip().split("\n\n"):
        kind, data = block.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert kind == f"event: {found[-1]['type']}"
    return found


def test_sdk_gets_an_answer_with_citations_and_follow_ups_beside_it(sdk: OpenAI) -> None:
    response = sdk.responses.create(model="faq", input=MINORS)
    told = response.model_extra["smartstore"]  # type: ignore[index]
    assert response.status == "completed"
    message = response.output[0]
    assert message.type == "message"
    part = message.content[0]
    assert part.type == "output_text"
    cited = part.annotations[0]
    assert cited.type == "url_citation"
    assert response.output_text[cited.start_index : cited.end_index] == "[1]"
    faq = httpx.get(cited.url).json()
    assert faq["question"] == cited.title == told["sources"][0]["question"]
    assert response.metadata
    assert response.metadata["smartstore_verdict"] == told["verdict"] == "answered"
    assert response.metadata["smartstore_follow_up_1"] == told["suggestions"][0]["question"]
    assert told["suggestions"][0]["text"] not in response.output_text
    glued = sdk.responses.create(model="faq", input=MINORS, extra_body={"smartstore": {"follow_ups": True}})
    assert told["suggestions"][0]["text"] in glued.output_text


def test_sdk_streams_the_same_answer(sdk: OpenAI) -> None:
    whole = sdk.responses.create(model="faq", input=MINORS)
    with sdk.responses.stream(model="faq", input=MINORS) as stream:
        deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert "".join(deltas) == final.output_text == whole.output_text
    assert final.output[0].content[0].annotations == whole.output[0].content[0].annotations != []  # type: ignore[union-attr]
    assert final.usage
    assert final.usage.total_tokens == final.usage.input_tokens + final.usage.output_tokens


def test_events_come_in_the_published_order_and_are_what_is_published(client: httpx.Client) -> None:
    found = events(client)
    for event in found:
        check_event(event)
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    kinds = [event["type"].removeprefix("response.") for event in found]
    shown = [kind for n, kind in enumerate(kinds) if not n or kinds[n - 1] != kind]
    middle = [kind for kind in shown[4:-4] if kind != "output_text.annotation.added"]
    assert shown[:4] == ["created", "in_progress", "output_item.added", "content_part.added"]
    assert set(middle) == {"output_text.delta"}
    assert shown[-4:] == ["output_text.done", "content_part.done", "output_item.done", "completed"]
    added = [event["annotation"] for event in found if "annotation" in event]
    assert added == found[-1]["response"]["output"][0]["content"][0]["annotations"]
    assert added


def test_a_whole_response_is_what_is_published(client: httpx.Client) -> None:
    body = {"model": "faq", "input": MINORS, "metadata": {"mine": "1"}, "instructions": "짧게"}
    response = client.post("/v1/responses", json=body).json()
    check(response, "Response")
    assert response["metadata"]["mine"] == "1"
    assert response["instructions"] == "짧게"
    listed = client.get(f"/v1/responses/{response['id']}/input_items").json()
    check(listed, "ResponseItemList")
    assert listed["data"][0]["content"][0]["text"] == MINORS


def test_a_conversation_goes_on_by_the_previous_response(sdk: OpenAI) -> None:
    first = sdk.responses.create(model="faq", input=MINORS)
    second = sdk.responses.create(model="faq", input=PAPERS, previous_response_id=first.id)
    assert "서류" in second.model_extra["smartstore"]["sources"][0]["question"]  # type: ignore[index]
    sessions = [each.model_extra["smartstore"]["session_id"] for each in (first, second)]  # type: ignore[index]
    assert sessions[0] == sessions[1]
    assert second.previous_response_id == first.id


def test_going_back_branches_the_conversation(sdk: OpenAI, client: httpx.Client) -> None:
    first = sdk.responses.create(model="faq", input=MINORS)
    sdk.responses.create(model="faq", input="배송비는 어떻게 정하나요?", previous_response_id=first.id)
    again = sdk.responses.create(model="faq", input=PAPERS, previous_response_id=first.id)
    told = again.model_extra["smartstore"]  # type: ignore[index]
    turns = client.get(f"/sessions/{told['session_id']}").json()["turns"]
    assert [turn["question"] for turn in turns] == [MINORS, PAPERS]


def test_a_conversation_may_be_told_instead(sdk: OpenAI, client: httpx.Client) -> None:
    first = sdk.responses.create(model="faq", input=MINORS, store=False)
    said = [
        {"role": "system", "content": "너는 친절하다"},
        {"role": "user", "content": MINORS},
        first.output[0].to_dict(),
        {"role": "user", "content": [{"type": "input_text", "text": PAPERS}]},
    ]
    second = sdk.responses.create(model="faq", input=said)  # type: ignore[arg-type]
    told = second.model_extra["smartstore"]  # type: ignore[index]
    assert "서류" in told["sources"][0]["question"]
    turns = client.get(f"/sessions/{told['session_id']}").json()["turns"]
    assert [turn["question"] for turn in turns] == [MINORS, PAPERS]


def test_an_item_may_be_referred_to(sdk: OpenAI) -> None:
    first = sdk.responses.create(model="faq", input=MINORS)
    said = [
        {"role": "user", "content": MINORS},
        {"type": "item_reference", "id": first.output[0].id},
        {"role": "user", "content": PAPERS},
    ]
    second = sdk.responses.create(model="faq", input=said)  # type: ignore[arg-type]
    assert "서류" in second.model_extra["smartstore"]["sources"][0]["question"]  # type: ignore[index]


def test_a_stored_response_can_be_read_streamed_again_and_deleted(sdk: OpenAI, client: httpx.Client) -> None:
    live_events = events(client)
    made = live_events[-1]["response"]
    read = client.get(f"/v1/responses/{made['id']}").json()
    assert read | {"completed_at": 0} == made | {"completed_at": 0}
    check(read, "Response")
    again = parsed(client.get(f"/v1/responses/{made['id']}?stream=true&starting_after=3").text)
    assert [e["sequence_number"] for e in again] == [e["sequence_number"] for e in live_events[4:]]
    assert sdk.responses.cancel(made["id"]).status == "completed"
    sdk.responses.delete(made["id"])
    for lost in (lambda: sdk.responses.retrieve(made["id"]), lambda: sdk.responses.delete(made["id"])):
        with pytest.raises(openai.NotFoundError):
            lost()
    with pytest.raises(openai.NotFoundError):
        sdk.responses.create(model="faq", input=PAPERS, previous_response_id=made["id"])


def test_what_is_not_stored_cannot_be_read(sdk: OpenAI) -> None:
    response = sdk.responses.create(model="faq", input=MINORS, store=False)
    assert "session_id" not in response.model_extra["smartstore"]  # type: ignore[index]
    with pytest.raises(openai.NotFoundError):
        sdk.responses.retrieve(response.id)


def test_a_bound_on_the_length_makes_a_response_incomplete(sdk: OpenAI, client: httpx.Client) -> None:
    response = sdk.responses.create(model="faq", input=MINORS, max_output_tokens=5)
    assert response.status == "incomplete"
    assert response.incomplete_details
    assert response.incomplete_details.reason == "max_output_tokens"
    assert len(response.output_text) <= 10
    last = events(client, max_output_tokens=5)[-1]
    assert last["type"] == "response.incomplete"
    check_event(last)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"text": {"format": {"type": "json_object"}}}, "text.format"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]},
            "input_image",
        ),
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]}, "도구"),
        ({"input": []}, "user"),
        ({"input": " "}, "비어"),
        ({"conversation": "conv_1"}, "previous_response_id"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"temperature": 3}, "temperature"),
        ({"metadata": {"a": "b" * 513}}, "metadata"),
        ({"background": True, "store": False}, "background"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_what_cannot_be_done_is_refused(client: httpx.Client, fields: dict[str, Any], word: str) -> None:
    response = client.post("/v1/responses", json={"model": "faq", "input": MINORS} | fields)
    assert response.status_code == 400, response.text
    assert word in response.json()["error"]["message"]
    check(response.json(), "ErrorResponse")


def test_off_topic_is_a_complete_response(sdk: OpenAI) -> None:
    response = sdk.responses.create(model="faq", input="오늘 저녁 맛집 추천해줘")
    assert response.output_text == REFUSAL
    assert response.metadata
    assert response.metadata["smartstore_verdict"] == "off_topic"


@pytest.fixture(scope="module")
def slow(data_dir: Path) -> Iterator[OpenAI]:
    """A server whose provider writes without end."""
    with upstream_in_thread() as behind:
        name = "SMARTSTORE_PROVIDERS__ENDPOINTS__ENDLESS__"
        settings = {f"{name}BASE_URL": behind.url("endless", "after"), f"{name}MODEL": MODEL,
                    f"{name}THIRD_PARTY": "false"}  # fmt: skip
        with (
            serve(data_dir, **settings) as server,
            OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0) as client,
        ):
            yield client


def test_a_response_in_the_background_is_read_and_cancelled(slow: OpenAI) -> None:
    response = slow.responses.create(model="faq/endless", input=MINORS, background=True)
    assert response.status == "in_progress"
    assert slow.responses.retrieve(response.id).status == "in_progress"
    with pytest.raises(openai.ConflictError):
        slow.responses.create(model="faq", input=PAPERS, previous_response_id=response.id)
    cancelled = slow.responses.cancel(response.id)
    assert cancelled.status == "cancelled"
    check(cancelled.to_dict(), "Response")
    assert slow.responses.retrieve(response.id).output_text == cancelled.output_text


async def test_responses_of_another_key_are_not_there(embedded_state: State) -> None:
    stored = StoredResponses(embedded_state, ttl_s=60)
    mine = StoredResponse(
        turn_id="t_1", session_id="s_1", owner="k_mine", model="faq", created=1, question="q",
        faqs="/faqs/", follow_ups=False, echo={}, metadata={},
    )  # fmt: skip
    await stored.put(mine)
    assert await stored.get("resp_1", owner="k_mine") == mine
    with pytest.raises(NotFound):
        await stored.get("resp_1", owner="k_other")
