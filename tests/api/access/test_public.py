"""The page and the widget for everybody: who comes in without a key, and how often."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from api.access.budget import DailyBudget
from api.state.connection import State
from tests.api.live import Live, ask, serve
from tests.api.providers.upstream import MODEL, upstream_in_thread

SHOP, EVIL = "https://shop.example", "https://evil.example"
ADMIN = "a-key-of-the-settings-that-is-long-enough"
MINORS = "미성년자도 판매 회원 등록이 가능한가요?"
PUBLIC = {
    "SMARTSTORE_PUBLIC__ENABLED": "true",
    "SMARTSTORE_SERVER__ORIGINS": json.dumps([SHOP]),
    "SMARTSTORE_AUTH__ADMIN_KEY": ADMIN,
}


@pytest.fixture(scope="module")
def public(data_dir: Path) -> Iterator[Live]:
    """A public server; this machine is the proxy that it trusts. Its LLM may answer visitors twice a day."""
    with upstream_in_thread() as behind:
        name = "SMARTSTORE_PROVIDERS__ENDPOINTS__MODEL__"
        settings = {f"{name}BASE_URL": behind.url(), f"{name}MODEL": MODEL, f"{name}THIRD_PARTY": "false",
                    "SMARTSTORE_PROVIDERS__DEFAULT": "model", "SMARTSTORE_PUBLIC__DAILY_ANSWERS": "2",
                    "SMARTSTORE_PUBLIC__PER_MINUTE": "10", "SMARTSTORE_PUBLIC__SESSION_PER_MINUTE": "3",
                    "SMARTSTORE_STATE__ANSWER_TTL_S": "0"}  # fmt: skip
        with serve(data_dir, **PUBLIC, **settings) as server:
            yield server


def visitor(server: Live, address: str, **headers: str) -> httpx.Client:
    """A visitor at an address, behind the proxy."""
    return httpx.Client(base_url=server.url, headers={"X-Forwarded-For": address, **headers}, timeout=60)


async def test_requests_are_limited_by_address_whatever_headers_say(public: Live) -> None:
    """1,000 requests from 50 addresses, each with a forged chain in front of the address the proxy saw."""
    served: Counter[str] = Counter()

    async def one(client: httpx.AsyncClient, n: int) -> None:
        address = f"198.51.100.{n % 50}"
        forged = {
            "X-Forwarded-For": f"203.0.113.{n % 251}, 192.0.2.{n % 7}, {address}",
            "X-Real-IP": f"1.2.3.{n % 9}",
        }
        response = await client.get("/faqs/nobody", headers=forged)
        assert response.status_code in (404, 429)
        if response.status_code == 404:
            served[address] += 1
        else:
            assert int(response.headers["retry-after"]) >= 1

    async with httpx.AsyncClient(base_url=public.url, timeout=60) as client:
        for start in range(0, 1000, 100):
            await asyncio.gather(*(one(client, n) for n in range(start, start + 100)))
    assert len(served) == 50
    # A minute's worth each, and what comes back to a bucket while the test lasts.
    assert all(10 <= count < 20 for count in served.values()), served


def test_an_address_that_is_no_proxy_cannot_speak_for_others(data_dir: Path) -> None:
    untrusting = {"SMARTSTORE_SERVER__TRUSTED_PROXIES": '["10.9.9.9"]', "SMARTSTORE_PUBLIC__PER_MINUTE": "5"}
    with serve(data_dir, **PUBLIC, **untrusting) as server:
        statuses = []
        for n in range(8):
            with visitor(server, f"198.51.100.{n}") as client:
                statuses.append(client.get("/faqs/nobody").status_code)
    assert statuses == [404] * 5 + [429] * 3


VISITORS = {
    ("post", "/chat"), ("get", "/chat/turns/{turn_id}/events"), ("delete", "/chat/turns/{turn_id}"),
    ("put", "/chat/turns/{turn_id}/feedback"), ("delete", "/chat/turns/{turn_id}/feedback"),
    ("get", "/sessions/{session_id}"), ("delete", "/sessions/{session_id}"),
    ("post", "/sessions/{session_id}/hand-over"),
    ("get", "/faqs/search"), ("get", "/faqs/{faq_id}"), ("get", "/health"), ("get", "/ready"),
}  # fmt: skip


def others(live: Live) -> list[tuple[str, str]]:
    """Every operation that the API describes, but for what a visitor needs."""
    paths = httpx.get(f"{live.url}/openapi.json").json()["paths"]
    described = [(method, path) for path, item in paths.items() for method in item]
    assert set(described) >= VISITORS
    return [each for each in described if each not in VISITORS and not each[1].startswith("/v1/")]


def test_no_route_of_the_operators_answers(public: Live, live: Live) -> None:
    """Not to a visitor, and on this port not even to the operator's own key."""
    operations = [
        *others(live),
        ("get", "/docs"),
        ("get", "/redoc"),
        ("get", "/openapi.json"),
        ("get", "/console"),
        ("get", "/static/console/console.js"),
    ]
    assert len(operations) > 20
    for n, (method, path) in enumerate(operations):
        for key in ("", ADMIN):
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            with visitor(public, f"198.18.0.{n}", **headers) as client:
                url = re.sub(r"{\w+}", "1", path)
                response = client.request(method, url, json={} if method in ("post", "put") else None)
            refused = (401, 403, 404) if not key else (404,)
            allowed = key and path == "/providers"
            assert response.status_code in refused or allowed, (method, path, key, response.status_code)


def test_operators_may_ask_for_theirs(data_dir: Path) -> None:
    with serve(data_dir, **PUBLIC, SMARTSTORE_PUBLIC__ADMIN="true") as server, server.client() as client:
        head = {"Authorization": f"Bearer {ADMIN}"}
        assert client.get("/metrics").status_code == 200
        assert client.get("/history/turns", headers=head).status_code == 200
        assert client.get("/history/turns").status_code == 403
        assert client.post("/jobs", json={"kind": "index"}).status_code == 403


def test_nobody_is_this_machine_on_a_public_server(public: Live) -> None:
    with public.client() as client:
        assert client.post("/v1/chat/completions", json={"model": "model/x", "messages": [{"role": "user"}]}
                           ).status_code == 403  # fmt: skip


def test_a_visitor_asks_and_goes_on_from_another_address(public: Live) -> None:
    with visitor(public, "192.0.2.10") as client:
        first = ask(client, MINORS)
        session = first[0].data["session_id"]
    with visitor(public, "192.0.2.11") as client:
        assert len(client.get(f"/sessions/{session}").json()["turns"]) == 1
        assert ask(client, "그럼 서류는 뭐가 필요해?", session_id=session)[-1].kind == "turn.completed"


def test_one_conversation_is_limited_from_however_many_addresses(public: Live) -> None:
    with visitor(public, "192.0.2.20") as client:
        session = ask(client, "고맙습니다")[0].data["session_id"]
    statuses = []
    for n in range(5):
        with visitor(public, f"192.0.2.{30 + n}") as client:
            body = {"question": "고맙습니다", "session_id": session}
            statuses.append(client.post("/chat", json=body).status_code)
    assert statuses == [200, 200, 200, 429, 429]


def test_visitors_share_a_days_answers_of_an_llm(public: Live) -> None:
    providers = []
    for n in range(3):
        with visitor(public, f"192.0.2.{50 + n}") as client:
            providers.append(ask(client, f"{MINORS} ({n})")[-1].data["provider"])
    # Other tests may have used some of them.
    assert providers[-1] == "extractive"


async def test_a_budget_counts_by_provider(embedded_state: State) -> None:
    budget = DailyBudget(embedded_state, answers=2)
    assert [await budget.spend("a") for _ in range(3)] == [True, True, False]
    assert await budget.spend("b")
    keys = [key async for key in embedded_state.redis.scan_iter(match=embedded_state.key("budget", "*"))]
    assert len(keys) == 2
    assert all([0 < await embedded_state.redis.ttl(key) <= 86_400 * 2 for key in keys])


def test_a_visitor_cannot_choose_who_answers(public: Live) -> None:
    with visitor(public, "192.0.2.60") as client:
        body: dict[str, Any] = {"question": MINORS, "provider": "extractive"}
        assert client.post("/chat", json=body).status_code == 403
        admin = {"Authorization": f"Bearer {ADMIN}"}
        assert ask(client, MINORS, headers=admin, provider="extractive")[-1].kind == "turn.completed"


def test_an_idempotency_key_is_one_address_own(public: Live) -> None:
    turns = []
    for address in ("192.0.2.70", "192.0.2.70", "192.0.2.71"):
        with visitor(public, address) as client:
            turns.append(ask(client, "고맙습니다", headers={"Idempotency-Key": "1"})[0].data["turn_id"])
    assert turns[0] == turns[1] != turns[2]


def test_browsers_are_told_of_listed_origins_alone(public: Live) -> None:
    preflight = {"Access-Control-Request-Method": "POST",
                 "Access-Control-Request-Headers": "content-type,idempotency-key"}  # fmt: skip
    with visitor(public, "192.0.2.80") as client:
        allowed = client.options("/chat", headers=preflight | {"Origin": SHOP})
        assert allowed.headers["access-control-allow-origin"] == SHOP
        assert client.options("/chat", headers=preflight | {"Origin": EVIL}).status_code == 400
        listed = client.get("/faqs/nobody", headers={"Origin": SHOP})
        assert listed.headers["access-control-allow-origin"] == SHOP
        refused = client.get("/faqs/nobody", headers={"Origin": EVIL})
        assert refused.status_code == 403
        assert "access-control-allow-origin" not in refused.headers
        assert client.get("/faqs/nobody", headers={"Origin": public.url}).status_code == 404


async def test_sockets_follow_the_list(public: Live) -> None:
    url = public.url.replace("http", "ws") + "/chat/ws"
    headers = {"X-Forwarded-For": "192.0.2.90"}
    async with connect(url, origin=SHOP, additional_headers=headers) as socket:  # type: ignore[arg-type]
        await socket.send(json.dumps({"type": "ask", "question": "고맙습니다"}))
        assert json.loads(await socket.recv())["event"] == "turn.started"
    with pytest.raises(InvalidStatus):
        await connect(url, origin=EVIL, additional_headers=headers)  # type: ignore[arg-type]


def test_frames_follow_the_list(public: Live) -> None:
    with visitor(public, "192.0.2.91") as client:
        assert f"frame-ancestors {SHOP}" in client.get("/").headers["content-security-policy"]


def test_a_publishable_key_is_asked_of_pages_elsewhere(data_dir: Path) -> None:
    with (
        serve(data_dir, **PUBLIC, SMARTSTORE_PUBLIC__KEY="pk_shop") as server,
        visitor(server, "192.0.2.92") as client,
    ):

        def status(**headers: str) -> int:
            return client.get("/faqs/nobody", headers=headers).status_code

        assert status(Origin=SHOP) == 401
        assert status(Origin=SHOP, Authorization="Bearer pk_shop") == 404
        assert status(Origin=SHOP, Authorization="Bearer pk_x") == 401
        assert status(**{"Sec-Fetch-Site": "same-origin"}) == 404
        assert status() == 401
