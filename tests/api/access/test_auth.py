"""Who needs no key: a caller of this machine, from a page of this server, and nobody else."""

from __future__ import annotations

from typing import Any

import pytest

from api.access.auth import Access, Caller
from api.access.keys import Keys, parse_scopes
from api.access.rate_limits import RateLimits, TurnSlots
from api.errors import Forbidden, Unauthorized
from api.state.connection import State

HERE, AWAY = ("127.0.0.1", 8000), ("203.0.113.9", 50000)


def access(state: State, *, required: bool = False) -> Access:
    return Access(Keys(state), RateLimits(state), TurnSlots(state, turn_s=60), required=required)


def scope(*, client: Any = HERE, server: Any = HERE, kind: str = "http", **headers: str) -> dict[str, Any]:
    raw = [(name.encode(), value.encode()) for name, value in {"host": "127.0.0.1:8000", **headers}.items()]
    return {"type": kind, "client": client, "server": server, "headers": raw, "subprotocols": []}


@pytest.mark.parametrize(("client", "server"), [(AWAY, HERE), (HERE, AWAY), (AWAY, AWAY)])
async def test_both_ends_on_this_machine_or_a_key(embedded_state: State, client: Any, server: Any) -> None:
    assert (await access(embedded_state).identify(scope())).id == "local"
    with pytest.raises(Unauthorized):
        await access(embedded_state).identify(scope(client=client, server=server))


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "http://127.0.0.1:9999", "null", "http://evil.example:8000", "http://["],
)
async def test_a_page_of_another_origin_may_not_ask(embedded_state: State, origin: str) -> None:
    with pytest.raises(Forbidden):
        await access(embedded_state).identify(scope(origin=origin))


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:8000", "http://localhost:8000"),
        ("localhost", "http://localhost"),
        ("localhost:80", "http://localhost"),
        ("localhost", "http://localhost:80"),
    ],
)
async def test_a_page_of_this_server_may_ask(embedded_state: State, host: str, origin: str) -> None:
    assert (await access(embedded_state).identify(scope(host=host, origin=origin))).id == "local"


async def test_a_name_that_points_here_is_no_page_of_ours(embedded_state: State) -> None:
    rebound = scope(host="evil.example:8000", origin="http://evil.example:8000")
    with pytest.raises(Forbidden):
        await access(embedded_state).identify(rebound)


async def test_a_key_is_needed_where_the_settings_say_so(embedded_state: State) -> None:
    with pytest.raises(Unauthorized):
        await access(embedded_state, required=True).identify(scope())


async def test_a_socket_may_offer_its_key_as_a_subprotocol(embedded_state: State) -> None:
    key, text = await Keys(embedded_state).create("앱", parse_scopes("chat"))
    offering = scope(kind="websocket") | {"subprotocols": ["smartstore", f"smartstore.key.{text}"]}
    assert (await access(embedded_state, required=True).identify(offering)).id == key.id
    offering["type"] = "http"
    with pytest.raises(Unauthorized):
        await access(embedded_state, required=True).identify(offering)


async def test_a_caller_may_do_what_its_scopes_name(embedded_state: State) -> None:
    caller = Caller("k_1", parse_scopes("chat"))
    assert await access(embedded_state).admit(caller, "chat") is caller
    with pytest.raises(Forbidden, match="no scope 'admin'"):
        await access(embedded_state).admit(caller, "admin")
