"""Keys at the door of a real server: scopes, ownership, limits, and starting without any."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.api.live import Live, ask, serve, smartstore, wait_until

MINORS = "미성년자도 판매 회원 등록이 가능한가요?"


@pytest.fixture(scope="module")
def closed(data_dir: Path) -> Iterator[Live]:
    """A server that requires keys."""
    with serve(data_dir, SMARTSTORE_AUTH__REQUIRED="true") as server:
        yield server


def key(server: Live, *options: str) -> dict[str, str]:
    """Headers with a new key, made while the server runs."""
    done = smartstore(server.data_dir, "keys", "create", "시험", *options)
    assert done.returncode == 0, done.stderr
    return {"Authorization": f"Bearer {done.stdout.strip()}"}


def test_no_key_no_access(closed: Live) -> None:
    with closed.client() as client:
        for path in ("/faqs/search?q=배송", "/sessions/x", "/providers", "/v1/models"):
            assert client.get(path).status_code == 401, path
        assert client.post("/chat", json={"question": MINORS}).status_code == 401
        assert client.get("/health").status_code == 200
        raw = client.post("/v1/chat/completions", json={"model": "openai/gpt-4.1-mini", "messages": [{}]})
        assert raw.status_code == 401
        assert raw.json()["error"]["code"] == "invalid_api_key"


@pytest.mark.parametrize("path", ["/chat", "/v1/chat/completions", "/v1/embeddings", "/jobs"])
def test_who_asks_is_known_before_the_body_is_read(closed: Live, path: str) -> None:
    address = httpx.URL(closed.url)
    head = f"POST {path} HTTP/1.1\r\nHost: {address.netloc.decode()}\r\nContent-Type: application/json\r\n"
    with socket.create_connection((address.host, address.port or 80), timeout=60) as connection:
        # The body is announced and never sent: an answer can only come of the headers.
        connection.sendall(f"{head}Content-Length: 2000\r\n\r\n".encode())
        assert connection.recv(64).startswith(b"HTTP/1.1 401 ")


def test_sessions_belong_to_the_key_that_made_them(closed: Live) -> None:
    mine, other = key(closed), key(closed)
    with closed.client() as client:
        begun = ask(client, MINORS, headers=mine)[0].data
        assert client.get(f"/sessions/{begun['session_id']}", headers=mine).status_code == 200
        assert client.get(f"/sessions/{begun['session_id']}", headers=other).status_code == 404
        assert client.delete(f"/sessions/{begun['session_id']}", headers=other).status_code == 404
        turn = f"/chat/turns/{begun['turn_id']}"
        assert client.get(f"{turn}/events", headers=other).status_code == 404
        assert client.delete(turn, headers=other).status_code == 404
        assert client.get(f"{turn}/events", headers=mine).status_code == 200


def test_a_key_without_raw_sees_and_uses_no_raw_model(closed: Live) -> None:
    chat, raw = key(closed), key(closed, "--scopes", "chat,raw")
    with closed.client() as client:
        seen = {m["id"] for m in client.get("/v1/models", headers=chat).json()["data"]}
        assert "faq" in seen
        assert "openai/gpt-4.1-mini" not in seen
        assert "openai/gpt-4.1-mini" in client.get("/v1/models", headers=raw).text
        body = {"model": "openai/gpt-4.1-mini", "messages": [{"role": "user", "content": "질문"}]}
        assert client.post("/v1/chat/completions", json=body, headers=chat).status_code == 403


def test_a_spent_minute_is_429_with_retry_after(closed: Live) -> None:
    headers = key(closed, "--per-minute", "2")
    with closed.client() as client:
        statuses = [client.get("/v1/models", headers=headers).status_code for _ in range(3)]
        assert statuses == [200, 200, 429]
        refused = client.get("/providers", headers=headers)
        assert refused.headers["content-type"] == "application/problem+json"
        assert 1 <= int(refused.headers["retry-after"]) <= 30


def test_a_revoked_key_is_refused_within_seconds(closed: Live) -> None:
    headers = key(closed)
    with closed.client() as client:
        assert client.get("/providers", headers=headers).status_code == 200
        key_id = "k_" + headers["Authorization"].split("_")[1]
        assert smartstore(closed.data_dir, "keys", "revoke", key_id).returncode == 0
        wait_until(lambda: client.get("/providers", headers=headers).status_code == 401)


def test_an_admin_makes_lists_and_revokes_keys(closed: Live) -> None:
    admin = key(closed, "--scopes", "admin")
    wanted = {"name": " 상담 앱 ", "scopes": ["chat", "raw"], "per_minute": 5, "concurrent_turns": 2}
    with closed.client() as client:
        made = client.post("/keys", json=wanted, headers=admin)
        assert made.status_code == 201
        shown = made.json()
        mine = {"Authorization": f"Bearer {shown.pop('secret')}"}
        assert shown | wanted | {"name": "상담 앱"} == shown
        assert shown in client.get("/keys", headers=admin).json()
        assert client.get("/providers", headers=mine).status_code == 200
        assert client.get("/keys", headers=mine).status_code == 403
        assert client.delete(f"/keys/{shown['id']}", headers=admin).status_code == 204
        assert client.get("/providers", headers=mine).status_code == 401
        assert client.delete(f"/keys/{shown['id']}", headers=admin).status_code == 404
        assert client.post("/keys", json={"name": " "}, headers=admin).status_code == 422
        unlimited = {"name": "앱", "per_minute": 0, "concurrent_turns": 0}
        assert client.post("/keys", json=unlimited, headers=admin).status_code == 201
        plain = client.post("/keys", json={"name": "앱"}, headers=admin).json()
        assert (plain["scopes"], plain["per_minute"], plain["concurrent_turns"]) == (["chat"], 0, 0)


def test_an_open_server_takes_any_foreign_key_but_no_foreign_page(client: httpx.Client) -> None:
    assert client.get("/v1/models", headers={"Authorization": "Bearer EMPTY"}).status_code == 200
    assert client.get("/v1/models", headers={"Authorization": "Bearer ssk_no_such"}).status_code == 401
    own = f"http://{client.base_url.host}:{client.base_url.port}"
    assert client.get("/v1/models", headers={"Origin": own}).status_code == 200
    assert client.get("/v1/models", headers={"Origin": "https://evil.example"}).status_code == 403


def test_a_public_bind_without_keys_does_not_start(tmp_path: Path) -> None:
    done = smartstore(tmp_path, "serve", "--host", "0.0.0.0", "--port", "0")
    assert done.returncode == 1
    assert "smartstore keys create" in done.stderr
    assert "Traceback" not in done.stderr
    opened = smartstore(
        tmp_path, "serve", "--host", "0.0.0.0", "--port", "0", SMARTSTORE_AUTH__REQUIRED="false"
    )
    assert opened.returncode == 1
    assert "auth.required" in opened.stderr


def test_reading_what_others_asked_needs_the_history_scope(closed: Live) -> None:
    chat, reader = key(closed), key(closed, "--scopes", "history")
    admin = key(closed, "--scopes", "admin")
    with closed.client() as http:
        codes = [http.get("/history/turns", headers=headers).status_code for headers in (chat, reader, admin)]
    assert codes == [403, 200, 200]
