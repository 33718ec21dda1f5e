"""A server without keys answers to its own names and pages; the operator's pages ask for a key where told."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from starlette.types import Message, Scope
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from api.access.auth import LOCAL
from api.errors import Unauthorized
from api.settings import AuthSettings, Settings
from api.web.own_host import OwnHost
from tests.api.live import Live, serve

PATHS = ("/", "/providers", "/faqs/search?q=정산", "/metrics", "/docs", "/v1/models")


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.", "[", ""])
def test_a_name_that_is_not_ours_is_refused(client: httpx.Client, host: str) -> None:
    for path in PATHS:
        assert client.get(path, headers={"Host": host}).status_code in (400, 403), path
    asked = client.post("/chat", json={"question": "정산은 언제 되나요?"}, headers={"Host": host})
    assert asked.status_code in (400, 403)


def test_a_socket_by_a_foreign_name_is_refused(live: Live) -> None:
    url = live.url.replace("http://127.0.0.1", "ws://localhost") + "/chat/ws"
    port = live.url.rsplit(":", 1)[1]
    with connect(url):
        pass
    with pytest.raises(InvalidStatus) as refused:
        connect(f"ws://127.0.0.1:{port}/chat/ws", additional_headers={"Host": "evil.example"})
    assert refused.value.response.status_code in (400, 403)


def test_name_and_address_of_the_same_page_both_work(client: httpx.Client) -> None:
    port = client.base_url.port
    for page in ("localhost", "127.0.0.1", "[::1]"):
        for host in ("localhost", "127.0.0.1"):
            headers = {"Origin": f"http://{page}:{port}", "Host": f"{host}:{port}"}
            assert client.get("/providers", headers=headers).status_code == 200, headers
    for foreign in (
        f"http://localhost:{(port or 0) + 1}",
        f"http://evil.example:{port}",
        "null",
        "http://localhost",
    ):
        assert client.get("/providers", headers={"Origin": foreign}).status_code == 403, foreign


def test_a_further_name_can_be_allowed(data_dir: Path) -> None:
    settings = {"SMARTSTORE_SERVER__HOSTS": '["Shop.example"]'}
    with serve(data_dir, **settings) as server, server.client() as client:
        assert client.get("/providers", headers={"Host": "shop.example"}).status_code == 200
        assert client.get("/providers", headers={"Host": "evil.example"}).status_code == 403


class Door:
    """Lets this machine in."""

    async def identify(self, scope: Scope) -> Any:
        if scope["client"][0] != "127.0.0.1":
            raise Unauthorized("API 키가 필요합니다.")
        return LOCAL


async def status_of(path: str, client: str, *, operations: bool) -> int:
    """What somebody at this address gets, of a server on all addresses."""
    sent: list[Message] = []

    async def app(_scope: Scope, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Message) -> None:
        sent.append(message)

    settings = Settings().model_copy(update={"auth": AuthSettings(required=True, operations=operations)})
    scope = {
        "type": "http", "method": "GET", "path": path, "headers": [(b"host", b"api.example")],
        "client": (client, 1), "server": (client, 80), "state": {"services": SimpleNamespace(access=Door())},
    }  # fmt: skip
    await OwnHost(app, settings)(scope, None, send)  # type: ignore[arg-type]
    return int(sent[0]["status"])


@pytest.mark.parametrize("path", ["/metrics", "/docs", "/redoc", "/openapi.json"])
async def test_operations_need_a_key_beyond_this_machine_where_a_setting_says_so(path: str) -> None:
    assert await status_of(path, "203.0.113.7", operations=True) == 401
    assert await status_of(path, "127.0.0.1", operations=True) == 200
    assert await status_of(path, "203.0.113.7", operations=False) == 200
    assert await status_of("/health", "203.0.113.7", operations=True) == 200
