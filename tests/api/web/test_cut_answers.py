"""An answer that is not whole says so on every way out, and is never given again from the cache."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.api.channels.test_messengers import SECRET, uttered
from tests.api.live import ask, serve
from tests.api.providers.upstream import MODEL, Upstream, upstream_in_thread

QUESTION = "미성년자도 판매 회원 등록이 가능한가요?"


@pytest.fixture(scope="module")
def fake() -> Iterator[Upstream]:
    with upstream_in_thread() as server:
        yield server


@pytest.fixture(scope="module")
def client(data_dir: Path, fake: Upstream) -> Iterator[httpx.Client]:
    endpoint = {"base_url": fake.url(), "model": MODEL, "third_party": False}
    settings = {
        "SMARTSTORE_PROVIDERS__ENDPOINTS": json.dumps({"fake": endpoint}),
        "SMARTSTORE_PROVIDERS__DEFAULT": "fake",
        "SMARTSTORE_CHANNELS__KAKAO__SECRET": SECRET,
        "SMARTSTORE_STATE__PREFIX": "cut-answers:",
    }
    with serve(data_dir, **settings) as server, server.client() as opened:
        yield opened


def _says(fake: Upstream, text: str, reason: str) -> None:
    chunks = [
        {"choices": [{"delta": {"content": text}}]},
        {"choices": [{"delta": {}, "finish_reason": reason}]},
    ]
    fake.events = (*(json.dumps(chunk) for chunk in chunks), "[DONE]")


@pytest.mark.parametrize("reason", ["length", "content_filter", "tool_calls"])
def test_a_cut_answer_says_so_everywhere(client: httpx.Client, fake: Upstream, reason: str) -> None:
    _says(fake, "네, 만 14세 이상이면 [1]", reason)
    for _ in range(2):
        begun, *_, end = ask(client, QUESTION, provider="fake")
        assert (end.data["finish_reason"], end.data["truncated"], end.data["cached"]) == (reason, True, False)
    saved = client.get(f"/sessions/{begun.data['session_id']}").json()["turns"][0]
    assert (saved["finish_reason"], saved["truncated"]) == (reason, True)
    body = {"model": "faq/fake", "messages": [{"role": "user", "content": QUESTION}]}
    whole = client.post("/v1/chat/completions", json=body).json()
    assert whole["choices"][0]["finish_reason"] == reason
    stream = client.post("/v1/chat/completions", json=body | {"stream": True}).text
    assert f'"finish_reason": "{reason}"' in stream


def test_a_messenger_says_that_an_answer_was_cut(client: httpx.Client, fake: Upstream) -> None:
    _says(fake, "네, 만 14세 이상이면 [1]", "length")
    answer = client.post(f"/channels/kakao/{SECRET}", json=uttered("u-cut", QUESTION)).json()
    assert "끝까지 오지 못하고 끊긴 답변" in str(answer["template"])
    _says(fake, "만 14세 이상이면 가능합니다. [1]", "stop")
    answer = client.post(f"/channels/kakao/{SECRET}", json=uttered("u-whole", f"{QUESTION} 네?")).json()
    assert "가능합니다" in str(answer["template"])
    assert "끊긴" not in str(answer["template"])


def test_an_answer_that_cites_nothing_is_not_sure_and_not_kept(client: httpx.Client, fake: Upstream) -> None:
    _says(fake, "제 생각에는 가능합니다.", "stop")
    for _ in range(2):
        end = ask(client, QUESTION, provider="fake")[-1].data
        assert (end["verdict"], end["citations"], end["cached"]) == ("unsure", [], False)


def test_the_callers_bound_is_told_as_length(client: httpx.Client) -> None:
    asked = [{"role": "user", "content": QUESTION}]
    body = {"model": "faq/extractive", "messages": asked, "max_tokens": 3}
    choice = client.post("/v1/chat/completions", json=body).json()["choices"][0]
    assert choice["finish_reason"] == "length"


def test_a_whole_answer_is_kept(client: httpx.Client, fake: Upstream) -> None:
    _says(fake, "만 14세 이상이면 가능합니다. [1]", "stop")
    first, again = (ask(client, QUESTION, provider="fake")[-1].data for _ in range(2))
    assert (first["verdict"], first["truncated"], first["finish_reason"]) == ("answered", False, "stop")
    assert again["cached"]
