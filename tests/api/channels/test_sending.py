"""What is sent to a platform: again where no connection was made, never where it may have been taken."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import httpx
import pytest

from api.channels.messenger import send_once


@pytest.fixture
def closed() -> Iterator[socket.socket]:
    """An address that refuses connections until a server listens there."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound


def url_of(bound: socket.socket) -> str:
    return f"http://127.0.0.1:{bound.getsockname()[1]}/"


async def test_a_message_is_sent_when_the_platform_can_be_reached_again(closed: socket.socket) -> None:
    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        writer.close()

    async with httpx.AsyncClient() as http:
        with pytest.raises(httpx.ConnectError):
            await http.post(url_of(closed))
        sending = asyncio.create_task(send_once(http, url_of(closed), json={}))
        # It has been refused once by the time that another connection to there has been.
        with pytest.raises(httpx.ConnectError):
            await http.post(url_of(closed))
        assert not sending.done()
        async with await asyncio.start_server(take, sock=closed):
            assert (await sending).status_code == 204


async def test_a_message_that_may_have_been_taken_is_not_sent_again(closed: socket.socket) -> None:
    connections = 0

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(hang_up, sock=closed), httpx.AsyncClient() as http:
        with pytest.raises(httpx.RemoteProtocolError):
            await send_once(http, url_of(closed), json={})
    assert connections == 1


async def test_a_platform_that_stays_away_is_said_to_be(closed: socket.socket) -> None:
    async with httpx.AsyncClient() as http:
        with pytest.raises(httpx.ConnectError):
            await send_once(http, url_of(closed), json={})
