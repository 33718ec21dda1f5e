"""The `openai` SDK, unmodified, against a real server: sync, async, streaming, error types."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from api.events import REFUSAL
from tests.api.live import Live, parse, serve, wait_until
from tests.api.providers.upstream import MODEL, upstream_in_thread

MINORS = "미성년자도 판매 회원 등록이 가능한가요?"


PICTURE = [
    {
        "role": "user",
        "content": [
            {"type": "text", "text": MINORS},
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        ],
    }
]


@pytest.fixture
def sdk(live: Live) -> Iterator[OpenAI]:
    """The SDK's client."""
    with OpenAI(base_url=f"{live.url}/v1", api_key="unused", max_retries=0) as client:
        yield client


def question(text: str = MINORS) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_sdk_lists_and_reads_models(sdk: OpenAI) -> None:
    names = [model.id for model in sdk.models.list()]
    assert names[0] == "faq"
    assert {"faq/extractive", "openai/gpt-4.1-mini", "e5-small"} <= set(names)
    assert sdk.models.retrieve("faq/extractive").id == "faq/extractive"
    with pytest.raises(openai.NotFoundError):
        sdk.models.retrieve("faq/nobody")


def test_sdk_gets_a_grounded_answer_with_follow_ups_and_sources(sdk: OpenAI) -> None:
    answer = sdk.chat.completions.create(model="faq", messages=question())  # type: ignore[arg-type]
    text = answer.choices[0].message.content or ""
    told = answer.model_extra["smartstore"]  # type: ignore[index]
    cited = answer.choices[0].message.annotations[0].url_citation  # type: ignore[index]
    assert text[cited.start_index : cited.end_index] == "[1]"
    assert cited.url == f"{sdk.base_url}".removesuffix("v1/") + f"faqs/{told['sources'][0]['faq_id']}"
    assert cited.title == told["sources"][0]["question"]
    assert "미성년자" in told["sources"][0]["question"]
    assert told["verdict"] == "answered"
    assert told["turn_id"] in answer.id
    offers = [f"  - {each['text']}" for each in told["suggestions"]]
    assert offers
    assert "  - " not in text
    glued = sdk.chat.completions.create(
        model="faq",
        messages=question(),  # type: ignore[arg-type]
        extra_body={"smartstore": {"follow_ups": True}},
    )
    assert glued.choices[0].message.content == text + "\n\n" + "\n".join(offers)


def test_sdk_is_told_the_usage_of_what_was_generated(sdk: OpenAI) -> None:
    answer = sdk.chat.completions.create(
        model="faq",
        messages=question("반품 배송비는 누가 내야 하나요? (처음 묻는 질문)"),  # type: ignore[arg-type]
    )
    assert answer.usage
    assert answer.usage.prompt_tokens > 0
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_sdk_streams_the_same_text(sdk: OpenAI) -> None:
    whole = sdk.chat.completions.create(model="faq/extractive", messages=question())  # type: ignore[arg-type]
    chunks = list(
        sdk.chat.completions.create(
            model="faq/extractive",
            messages=question(),  # type: ignore[arg-type]
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert len({chunk.id for chunk in chunks}) == 1
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]][-1] == "stop"
    assert chunks[-2].model_extra["smartstore"]["verdict"] == "answered"  # type: ignore[index]


async def test_sdk_async_client_streams(live: Live) -> None:
    async with AsyncOpenAI(base_url=f"{live.url}/v1", api_key="unused") as client:
        stream = await client.chat.completions.create(
            model="faq",
            messages=question("오늘 저녁 맛집 추천해줘"),
            stream=True,  # type: ignore[arg-type]
        )
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert text.startswith(REFUSAL)


def test_earlier_messages_are_the_history(sdk: OpenAI) -> None:
    first = sdk.chat.completions.create(model="faq", messages=question())  # type: ignore[arg-type]
    messages = [
        {"role": "system", "content": "영어로 대답해."},
        *question(),
        {"role": "assistant", "content": first.choices[0].message.content},
        {"role": "user", "content": [{"type": "text", "text": "그럼 서류는 뭐가 필요해?"}]},
    ]
    second = sdk.chat.completions.create(model="faq", messages=messages)  # type: ignore[arg-type]
    assert "서류" in second.model_extra["smartstore"]["sources"][0]["question"]  # type: ignore[index]


def test_sdk_embeds(sdk: OpenAI) -> None:
    texts = ["배송비 설정 방법", "배송 요금은 어디서 정하나요?", "상표권 침해 신고"]
    found = sdk.embeddings.create(model="e5-small", input=texts)
    vectors = [each.embedding for each in found.data]
    floats = sdk.embeddings.create(model="e5-small", input=texts[0], encoding_format="float")
    assert floats.data[0].embedding == pytest.approx(vectors[0], abs=1e-3)

    def likeness(a: int, b: int) -> float:
        return sum(x * y for x, y in zip(vectors[a], vectors[b], strict=True))

    assert likeness(0, 0) == pytest.approx(1, abs=1e-3)
    assert likeness(0, 1) > likeness(0, 2)


@pytest.mark.parametrize(
    ("fields", "kind", "word"),
    [
        ({"model": "gpt-5"}, openai.NotFoundError, "faq"),
        ({"model": "faq/nobody"}, openai.NotFoundError, "faq/extractive"),
        ({"messages": []}, openai.BadRequestError, "messages"),
        ({"messages": [{"role": "system", "content": "가"}]}, openai.BadRequestError, "user"),
        ({"messages": question("  ")}, openai.BadRequestError, "비어"),
        ({"messages": question("가" * 2001)}, openai.BadRequestError, "2,000"),
        ({"temperature": 3}, openai.BadRequestError, "temperature"),
        ({"n": 2}, openai.BadRequestError, "n"),
        ({"stop": list("abcde")}, openai.BadRequestError, "stop"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, openai.BadRequestError, "tools"),
        ({"tool_choice": "required"}, openai.BadRequestError, "tool_choice"),
        ({"response_format": {"type": "json_object"}}, openai.BadRequestError, "response_format"),
        ({"messages": PICTURE}, openai.BadRequestError, "image_url"),
        ({"logprobs": True}, openai.BadRequestError, "logprobs"),
        ({"presence_penalty": 1}, openai.BadRequestError, "presence_penalty"),
        ({"store": True}, openai.BadRequestError, "store"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_sdk_raises_its_own_error_types(
    sdk: OpenAI, fields: dict[str, object], kind: type[openai.APIStatusError], word: str
) -> None:
    with pytest.raises(kind) as raised:
        sdk.chat.completions.create(**({"model": "faq", "messages": question()} | fields))  # type: ignore[call-overload]
    assert word in raised.value.message
    assert raised.value.body["type"] == "invalid_request_error"  # type: ignore[index]


@pytest.fixture(scope="module")
def endless(data_dir: Path) -> Iterator[Live]:
    """A server whose turns end only where somebody ends them."""
    prefix = "SMARTSTORE_PROVIDERS__ENDPOINTS__ENDLESS__"
    with upstream_in_thread() as behind:
        settings = {
            f"{prefix}BASE_URL": behind.url("stall", "after"),
            f"{prefix}MODEL": MODEL,
            f"{prefix}THIRD_PARTY": "false",
            f"{prefix}BETWEEN_TOKENS_TIMEOUT_S": "600",
            "SMARTSTORE_TURNS__ABANDONED_GRACE_S": "0",
        }
        with serve(data_dir, **settings) as server:
            yield server


def gauge(server: Live, name: str) -> float:
    """One value of the server's metrics."""
    with server.client() as client:
        lines = client.get("/metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith(f"{name} ")).split()[1])


def counted(server: Live) -> tuple[float, float]:
    """Turns that run, and readers that follow one."""
    return gauge(server, "smartstore_turns_running"), gauge(server, "smartstore_turns_followed")


def test_a_reader_of_a_stream_is_counted_and_ends_the_turn_by_leaving(endless: Live) -> None:
    with OpenAI(base_url=f"{endless.url}/v1", api_key="unused", max_retries=0) as sdk:
        stream = sdk.chat.completions.create(model="faq/endless", messages=question(), stream=True)  # type: ignore[arg-type]
        turn = next(stream).id.removeprefix("chatcmpl-")
        assert any(next(stream).choices[0].delta.content for _ in range(5))
        assert counted(endless) == (1, 1)
        stream.close()
    wait_until(lambda: counted(endless) == (0, 0))
    with endless.client() as client:
        last = parse(client.get(f"/chat/turns/{turn}/events").text)[-1]
    assert (last.kind, last.data["stopped"]) == ("turn.completed", True)


def test_a_reader_of_a_whole_completion_is_counted_and_ends_the_turn_by_leaving(endless: Live) -> None:
    body = {"model": "faq/endless", "messages": question()}
    with ThreadPoolExecutor(1) as pool, httpx.Client(base_url=endless.url, timeout=2) as client:
        waiting = pool.submit(client.post, "/v1/chat/completions", json=body)
        wait_until(lambda: counted(endless) == (1, 1))
        with pytest.raises(httpx.ReadTimeout):
            waiting.result()
    wait_until(lambda: counted(endless) == (0, 0))


def test_what_changes_nothing_is_taken(sdk: OpenAI) -> None:
    neutral = {"n": 1, "presence_penalty": 0, "tools": None, "tool_choice": "none", "store": False}
    answer = sdk.chat.completions.create(  # type: ignore[call-overload]
        model="faq", messages=question(), response_format={"type": "text"}, **neutral
    )
    assert answer.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("text", [MINORS, "오늘 저녁 맛집 추천해줘"])
def test_a_bound_on_the_length_is_kept_and_told(sdk: OpenAI, text: str) -> None:
    answer = sdk.chat.completions.create(model="faq", messages=question(text), max_tokens=5)  # type: ignore[arg-type]
    assert 0 < len(answer.choices[0].message.content or "") <= 10
    assert answer.choices[0].finish_reason == "length"


def test_a_stop_sequence_ends_the_answer(sdk: OpenAI) -> None:
    whole = sdk.chat.completions.create(model="faq", messages=question())  # type: ignore[arg-type]
    text = whole.choices[0].message.content or ""
    stop = text[7:12]
    chunks = sdk.chat.completions.create(model="faq", messages=question(), stop=[stop], stream=True)  # type: ignore[call-overload]
    deltas = [chunk.choices[0] for chunk in chunks]
    assert "".join(each.delta.content or "" for each in deltas) == text[: text.index(stop)]
    assert deltas[-1].finish_reason == "stop"


def test_a_provider_without_its_key_is_not_asked_again(live: Live) -> None:
    """Neither raw nor behind the FAQ: SDKs repeat 5xx and 429, not 424."""
    with OpenAI(base_url=f"{live.url}/v1", api_key="unused", max_retries=2) as patient:
        for model in ("openai/gpt-4.1-mini", "faq/openai"):
            with pytest.raises(openai.APIStatusError) as raised:
                patient.chat.completions.with_raw_response.create(model=model, messages=question())  # type: ignore[arg-type]
            assert raised.value.status_code == 424
            assert raised.value.request.headers["x-stainless-retry-count"] == "0"
            assert "OPENAI__API_KEY" in raised.value.message
