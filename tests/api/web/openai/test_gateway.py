"""Raw models: what goes to the provider, what comes back, and who is told of faults."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from api.errors import InvalidRequest
from api.web.openai.raw_body import Malformed, read_body
from tests.api.live import Live, serve, wait_until
from tests.api.providers.upstream import MODEL, Upstream, upstream_in_thread

URL = "/v1/chat/completions"
ASKING = [{"role": "user", "content": "배송비는 어떻게 정하나요?"}]


@pytest.fixture(scope="module")
def behind() -> Iterator[Upstream]:
    """The server behind the gateway."""
    with upstream_in_thread() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(data_dir: Path, behind: Upstream) -> Iterator[Live]:
    """A gateway to one that behaves and to some that do not."""
    settings = {}
    faults = {"good": ("none", "before"), "stall": ("stall", "after"), "cut": ("cut", "after"),
              "busy": ("429", "before"), "broken": ("500", "before"), "endless": ("endless", "after"),
              "silent": ("stall", "before"), "locked": ("401", "before")}  # fmt: skip
    for name, fault in faults.items():
        prefix = f"SMARTSTORE_PROVIDERS__ENDPOINTS__{name.upper()}__"
        settings |= {
            f"{prefix}BASE_URL": behind.url(*fault),
            f"{prefix}MODEL": MODEL,
            f"{prefix}THIRD_PARTY": "false",
            f"{prefix}FIRST_TOKEN_TIMEOUT_S": "1",
            f"{prefix}BETWEEN_TOKENS_TIMEOUT_S": "1",
        }
    settings["SMARTSTORE_PROVIDERS__ENDPOINTS__GOOD__API_KEY"] = "sk-ours"
    settings["SMARTSTORE_PROVIDERS__ENDPOINTS__GOOD__USD_PER_MILLION_INPUT"] = "1000"
    settings["SMARTSTORE_PROVIDERS__ENDPOINTS__KEYLESS__BASE_URL"] = behind.url()
    settings["SMARTSTORE_PROVIDERS__ENDPOINTS__KEYLESS__MODEL"] = MODEL
    settings["SMARTSTORE_PROVIDERS__BREAKER_FAILURES"] = "3"
    with serve(data_dir, **settings) as server:
        yield server


@pytest.fixture
def http(gateway: Live) -> Iterator[httpx.Client]:
    with gateway.client() as client:
        yield client


def asked(behind: Upstream, http: httpx.Client, body: str) -> httpx.Response:
    """Posts a body as it is."""
    response = http.post(URL, content=body.encode(), headers={"Content-Type": "application/json"})
    assert response.status_code == 200, response.text
    return response


def test_only_the_model_is_exchanged(gateway: Live, behind: Upstream, http: httpx.Client) -> None:
    body = (
        '{ "tools":[{"type":"function","function":{"name":"f","parameters":{"model":"good/not-me"}}}],\n'
        ' "model" :  "good/any/name", "messages":[{"role":"user",'
        '"content":"\\uac00 가 \\"model\\": \\"good/x\\""}],'
        ' "unknown_field": [1.50, 1e3, null], "temperature":0.10 }'
    )
    asked(behind, http, body)
    seen = behind.requests[-1]
    assert seen.body == json.loads(body) | {"model": "any/name"}
    assert seen.headers["content-length"] == str(len(body.encode()) - len("good/"))
    assert seen.headers["authorization"] == "Bearer sk-ours"


def test_a_stream_comes_back_byte_by_byte(behind: Upstream, http: httpx.Client) -> None:
    fields = {"messages": ASKING, "stream": True, "stream_options": {"include_usage": True}}
    direct = httpx.post(f"{behind.url()}/chat/completions", json={"model": MODEL, **fields})
    raw = http.post(URL, json={"model": f"good/{MODEL}", **fields})
    assert raw.content == direct.content
    assert raw.headers["content-type"] == direct.headers["content-type"]


def test_usage_is_counted(behind: Upstream, http: httpx.Client) -> None:
    def cost() -> float:
        listed = http.get("/providers").json()["providers"]
        return float(next(p["cost_usd"] for p in listed if p["name"] == "good"))

    before = cost()
    http.post(URL, json={"model": "good/x", "messages": ASKING})
    body = {"model": "good/x", "messages": ASKING, "stream": True, "stream_options": {"include_usage": True}}
    http.post(URL, json=body)
    assert cost() - before == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"model": "good/x"}, 400),
        ({"model": "good/x", "messages": []}, 400),
        ({"model": "good/x", "messages": "안녕"}, 400),
        ({"model": "good/x", "messages": [1]}, 400),
        ({"model": "good/x", "messages": ASKING, "stream": "yes"}, 400),
        ({"model": "nobody/x", "messages": ASKING}, 404),
        ({"model": "good/", "messages": ASKING}, 404),
        ({"model": 3, "messages": ASKING}, 400),
    ],
    ids=str,
)
def test_bad_requests_never_reach_the_provider(
    behind: Upstream, http: httpx.Client, body: dict[str, object], status: int
) -> None:
    before = len(behind.requests)
    response = http.post(URL, json=body)
    assert response.status_code == status
    assert response.json()["error"]["type"] == "invalid_request_error"
    assert len(behind.requests) == before


def test_provider_without_its_key_is_named_and_not_asked(behind: Upstream, http: httpx.Client) -> None:
    before = len(behind.requests)
    response = http.post(URL, json={"model": "keyless/small-model", "messages": ASKING})
    assert response.status_code == 424
    assert "SMARTSTORE_PROVIDERS__ENDPOINTS__KEYLESS__API_KEY" in response.json()["error"]["message"]
    assert len(behind.requests) == before


def test_too_long_a_body_is_refused(http: httpx.Client) -> None:
    long = {"model": "good/x", "messages": [{"role": "user", "content": "가" * 6_000_000}]}
    response = http.post(URL, json=long)
    assert response.status_code == 413
    assert response.json()["error"]["message"]


@pytest.mark.parametrize(("name", "status"), [("busy", 429), ("broken", 500)])
def test_a_refusal_is_passed_on_as_it_came(http: httpx.Client, name: str, status: int) -> None:
    response = http.post(URL, json={"model": f"{name}/x", "messages": ASKING})
    assert response.status_code == status
    assert response.json()["error"]["message"].startswith(("Rate limit", "The server had"))
    if status == 429:
        assert response.headers["retry-after"] == "1"


def test_a_provider_that_refuses_our_key_is_our_fault(http: httpx.Client) -> None:
    response = http.post(URL, json={"model": "locked/x", "messages": ASKING})
    assert response.status_code == 424
    assert "sk-ours" not in response.text
    assert "locked" in response.json()["error"]["message"]


@pytest.mark.parametrize("name", ["stall", "cut"])
def test_a_stream_that_breaks_off_ends_with_an_error(http: httpx.Client, name: str) -> None:
    response = http.post(URL, json={"model": f"{name}/x", "messages": ASKING, "stream": True})
    last = response.text.strip().splitlines()[-1]
    assert json.loads(last.removeprefix("data: "))["error"]["type"] == "server_error"
    assert "[DONE]" not in response.text


def test_a_provider_that_keeps_failing_is_left_alone(behind: Upstream, http: httpx.Client) -> None:
    body = {"model": "silent/x", "messages": ASKING, "stream": True}
    statuses = [http.post(URL, json=body).status_code for _ in range(4)]
    assert statuses[-1] == 503
    before = len(behind.requests)
    refused = http.post(URL, json=body)
    assert (refused.status_code, len(behind.requests)) == (503, before)
    assert int(refused.headers["retry-after"]) >= 1


def test_a_caller_who_leaves_frees_the_provider(behind: Upstream, http: httpx.Client) -> None:
    body = {"model": "endless/x", "messages": ASKING, "stream": True}
    with http.stream("POST", URL, json=body) as response:
        next(response.iter_raw())
        seen = behind.requests[-1]
    wait_until(lambda: seen.hung_up_at is not None)


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "3", "{", '{"model":"a/b"', '{"model":"a/b"}x', '{"model":"a/b","model":"c/d"}',
        '{"model":"a/b","mod\\u0065l":"c/d"}', '{"model":"a/b","x":NaN}', '{"model":["a/b"]}',
        '{"messages":[{"model":"a/b"}]}', "{" * 100_000, '{"model":"a/b",}', "\ufeff{}",
        '{"model":"a/b","x":' + "[" * 100_000,
    ],
    ids=lambda text: text[:30],
)  # fmt: skip
def test_malformed_bodies_are_told_apart(text: str) -> None:
    with pytest.raises(Malformed):
        read_body(text.encode())


def test_blanks_and_escapes_around_the_model_stay() -> None:
    body = read_body('\n{ "a" : {"model":1} , "mod\\u0065l"\t:\r"openai\\/gpt" , "z":"끝" }\n'.encode())
    assert body.model == "openai/gpt"
    assert body.naming("gpt").decode() == '\n{ "a" : {"model":1} , "mod\\u0065l"\t:\r"gpt" , "z":"끝" }\n'
    with pytest.raises(InvalidRequest):
        body.check()
