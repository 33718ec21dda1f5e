"""The MCP server by the SDK's own client: streamable HTTP with keys and limits, and stdio."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from tests.api.live import ROOT, Live, environment, serve, smartstore

MINORS = "미성년자도 판매 회원 등록이 가능한가요?"


async def call(client: Client, tool: str, **arguments: Any) -> Any:
    """What a tool returns, as data."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    found = result.structured_content
    return found["result"] if found and set(found) == {"result"} else found


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_tools_search_ask_and_read(live: Live, mode: Any) -> None:
    async with Client(f"{live.url}/mcp", mode=mode) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == {"search_faq", "ask_faq", "get_faq"}
        assert set(tools["ask_faq"].input_schema["properties"]) == {"question", "session_id"}
        found = await call(client, "search_faq", query=MINORS, limit=3)
        assert len(found) == 3
        assert "미성년자" in found[0]["question"]
        faq = await call(client, "get_faq", faq_id=found[0]["id"])
        assert faq["question"] == found[0]["question"]
        template = (await client.list_resource_templates()).resource_templates[0]
        assert template.uri_template == "faq://{faq_id}"
        read = await client.read_resource(f"faq://{faq['id']}")
        assert faq["answer"] in read.contents[0].text  # type: ignore[union-attr]


async def test_an_answer_streams_as_progress_and_its_conversation_goes_on(live: Live) -> None:
    pieces: list[str] = []

    async def progress(_done: float, _total: float | None, message: str | None) -> None:
        pieces.append(message or "")

    async with Client(f"{live.url}/mcp") as client:
        result = await client.call_tool("ask_faq", {"question": MINORS}, progress_callback=progress)
        answer = result.structured_content
        assert answer
        assert answer["verdict"] == "answered"
        assert "".join(pieces) == answer["answer"]
        assert "[1]" in answer["answer"]
        assert answer["sources"][0]["n"] == 1
        assert answer["follow_ups"]
        more = {"question": "그럼 서류는 뭐가 필요해?", "session_id": answer["session_id"]}
        second = await call(client, "ask_faq", **more)
        assert second["session_id"] == answer["session_id"]
        assert any("서류" in source["question"] for source in second["sources"])


async def test_faults_are_told_in_words(live: Live) -> None:
    async with Client(f"{live.url}/mcp") as client:
        for tool, arguments, word in (
            ("ask_faq", {"question": " "}, "비어"),
            ("search_faq", {"query": "가" * 2001}, "2,000"),
            ("get_faq", {"faq_id": "nobody"}, "nobody"),
            ("ask_faq", {"question": MINORS, "session_id": "s_" + "a" * 24}, "찾을 수 없습니다"),
        ):
            result = await client.call_tool(tool, arguments)
            assert result.is_error
            assert word in result.content[0].text  # type: ignore[union-attr]


ADMIN = "a-key-of-the-settings-that-is-long-enough"


@pytest.fixture(scope="module")
def locked(data_dir: Path) -> Iterator[Live]:
    """A server that wants keys."""
    settings = {"SMARTSTORE_AUTH__REQUIRED": "true", "SMARTSTORE_AUTH__ADMIN_KEY": ADMIN}
    with serve(data_dir, **settings) as server:
        yield server


def new_key(server: Live, *options: str) -> str:
    done = smartstore(server.data_dir, "keys", "create", "agent", *options)
    assert done.returncode == 0, done.stderr
    return next(word for word in done.stdout.split() if word.startswith("ssk_"))


async def test_keys_and_limits_are_those_of_every_route(locked: Live) -> None:
    hello = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    accept = {"Accept": "application/json, text/event-stream"}
    async with httpx2.AsyncClient() as stranger:
        refused = await stranger.post(f"{locked.url}/mcp", json=hello, headers=accept)
    assert refused.status_code == 401
    key = new_key(locked, "--per-minute", "10")
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {key}"}) as http:
        transport = streamable_http_client(f"{locked.url}/mcp", http_client=http)
        async with Client(transport) as client:
            answer = await call(client, "ask_faq", question=MINORS)
        # Its conversation belongs to the key.
        url = f"{locked.url}/sessions/{answer['session_id']}"
        assert (await http.get(url)).status_code == 200
        other = await http.get(url, headers={"Authorization": f"Bearer {ADMIN}"})
        assert other.status_code == 404
        statuses = [(await http.post(f"{locked.url}/mcp", json=hello, headers=accept)).status_code
                    for _ in range(12)]  # fmt: skip
    assert statuses[-1] == 429


def test_a_foreign_page_is_refused(live: Live) -> None:
    hello = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    refused = httpx.post(f"{live.url}/mcp", json=hello, headers={"Origin": "https://evil.example"})
    assert refused.status_code == 403


async def test_stdio_serves_the_same(data_dir: Path) -> None:
    env = environment(data_dir)
    command = StdioServerParameters(
        command=sys.executable, args=["-m", "api.cli", "mcp"], env=env, cwd=str(ROOT)
    )
    async with Client(command) as client:
        found = await call(client, "search_faq", query=MINORS, limit=1)
        assert "미성년자" in found[0]["question"]
        answer = await call(client, "ask_faq", question=MINORS)
        assert "[1]" in answer["answer"]
