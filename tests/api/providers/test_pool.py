"""The pooled HTTP client towards providers, against a server that sends exactly the bytes it is told."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs

from api.errors import ProviderError, ProviderTimeout
from api.providers.openai import pool
from api.providers.openai.pool import Upstream
from api.settings import Endpoint

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n"
SHORT = OK + b"Content-Length: 2\r\n\r\nok"
Say = Callable[[asyncio.StreamWriter], Any]


@dataclass
class Scripted:
    """A server whose n-th answer is the n-th script, the last one for all that follow.

    A script is bytes, or a coroutine function that gets the writer; `None` hangs up.
    """

    scripts: list[bytes | Say | None]
    step: int = 2**16
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers what one connection asks."""
        self.connections += 1
        self.open += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
                self.requests.append(head + await reader.readexactly(int(length or 0)))
                script = self.scripts[min(len(self.requests), len(self.scripts)) - 1]
                if script is None:
                    return
                if not isinstance(script, bytes):
                    await script(writer)
                    continue
                for at in range(0, len(script), self.step):
                    writer.write(script[at : at + self.step])
                    await asyncio.sleep(0)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self.open -= 1
            writer.close()


@asynccontextmanager
async def served(
    *scripts: bytes | Say | None, step: int = 2**16, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Scripted]:
    """A running server."""
    scripted = Scripted(list(scripts), step)
    server = await asyncio.start_server(scripted.serve, "127.0.0.1", 0, ssl=tls)
    scripted.port = server.sockets[0].getsockname()[1]
    try:
        yield scripted
    finally:
        server.close()


def client(server: Scripted, **options: Any) -> Upstream:
    """A pool of connections to it."""
    return Upstream("gpt", f"http://127.0.0.1:{server.port}/v1/", **options)


async def body_of(upstream: Upstream, **options: Any) -> bytes:
    """The body that a request gets."""
    with await upstream.send("POST", "/chat/completions", body=b"{}", **options) as response:
        return await response.read_up_to(2**24)


async def eventually(true: Callable[[], bool], seconds: float = 60.0) -> None:
    """Waits until something is so."""
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("step", [1, 7, 2**16])
@pytest.mark.parametrize(
    ("answer", "body", "reusable"),
    [
        (SHORT, b"ok", True),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\nX-End: 1\r\n\r\n", b"ok", True),
        (b"HTTP/1.1 100 Continue\r\nX: 1\r\n\r\nHTTP/1.1 103 Early\r\n\r\n" + SHORT, b"ok", True),
        (b"HTTP/1.1 204 No Content\r\nContent-Type: text/plain\r\n\r\n", b"", True),
        (b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok", b"ok", False),
        (OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nok", b"ok", False),
    ],
    ids=["length", "chunked", "interim", "no content", "old", "last"],
)
async def test_bodies_arrive_however_they_are_framed(
    answer: bytes, body: bytes, reusable: bool, step: int
) -> None:
    async with served(answer, step=step) as server, client(server) as upstream:
        for _ in range(3):
            with await upstream.send("POST", "/chat/completions", body=b"{}", idle_s=5) as response:
                assert await response.read_up_to(100) == body
                assert response.read_whole
                assert response.content_type == "text/plain"
                assert [name for name, _ in response.headers if name.startswith(b"x")] == []
        assert server.connections == (1 if reusable else 3)


async def test_a_body_of_no_length_ends_with_its_connection() -> None:
    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(OK + b"\r\nok")
        await asyncio.sleep(0.05)
        writer.close()

    async with served(say) as server, client(server) as upstream:
        assert await body_of(upstream) == b"ok"


async def test_requests_are_what_a_server_expects() -> None:
    async with served(SHORT) as server, client(server, api_key="sk-1") as upstream:
        await body_of(upstream)
        with await upstream.send("GET", "/models"):
            pass
        post, get = server.requests
        head, _, body = post.partition(b"\r\n\r\n")
        assert head.split(b"\r\n")[0] == b"POST /v1/chat/completions HTTP/1.1"
        assert set(head.split(b"\r\n")[1:]) == {
            b"Host: 127.0.0.1:%d" % server.port, b"Accept: */*", b"Accept-Encoding: identity",
            b"Authorization: Bearer sk-1", b"Content-Type: application/json", b"Content-Length: 2",
        }  # fmt: skip
        assert body == b"{}"
        assert get.startswith(b"GET /v1/models HTTP/1.1\r\n")
        assert b"Content-" not in get


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"Content-Length: 10\r\n\r\nok",
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nok",
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
        OK,
        b"",
    ],
    ids=["length", "chunk", "no last chunk", "head", "nothing"],
)
async def test_an_answer_cut_short_is_an_error(answer: bytes) -> None:
    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    async with served(say) as server, client(server) as upstream:
        with pytest.raises(ProviderError, match="hung up"):
            await body_of(upstream)
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        OK + b"Content-Length: -1\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\n" + b"X-Long: %s\r\n" % (b"x" * 1000) * 200,
    ],
    ids=["another protocol", "length", "chunk size", "upgrade", "endless head"],
)
async def test_what_is_no_http_answer_is_an_error(answer: bytes) -> None:
    async with served(answer) as server, client(server) as upstream:
        with pytest.raises(ProviderError, match="hung up"):
            await body_of(upstream)
        await eventually(lambda: server.open == 0)


async def test_silence_ends_the_wait_and_bytes_prolong_it() -> None:
    async def slowly(writer: asyncio.StreamWriter) -> None:
        for piece in (OK, b"Content-Length: 4\r\n\r\n", b"a", b"b", b"c", b"d"):
            writer.write(piece)
            await asyncio.sleep(0.1)

    async def stall(writer: asyncio.StreamWriter) -> None:
        writer.write(OK + b"Content-Length: 4\r\n\r\nab")
        await asyncio.sleep(5)

    async with served(slowly, stall) as server, client(server) as upstream:
        assert await body_of(upstream, idle_s=0.3) == b"abcd"
        with await upstream.send("POST", "/chat/completions", body=b"{}", idle_s=0.2) as response:
            assert await response.read() == b"ab"
            with pytest.raises(ProviderTimeout):
                await response.read()
        with pytest.raises(ProviderTimeout):
            await body_of(upstream, idle_s=0.1)


async def test_leaving_early_hangs_up() -> None:
    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(OK + b"Transfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1\r\na\r\n")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with served(endless) as server, client(server) as upstream:
        with await upstream.send("POST", "/chat/completions", body=b"{}") as response:
            assert (await response.read())[:1] == b"a"
        await eventually(lambda: server.open == 0)
        asking = asyncio.create_task(body_of(upstream))
        await eventually(lambda: server.open == 1)
        asking.cancel()
        await eventually(lambda: server.open == 0)


async def test_a_server_faster_than_its_reader_has_to_wait() -> None:
    sent, size = 0, 32 * 2**20

    async def much(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(OK + b"Content-Length: %d\r\n\r\n" % size)
        while sent < size:
            writer.write(bytes(2**16))
            await writer.drain()
            sent += 2**16

    async with served(much) as server, client(server) as upstream:
        with await upstream.send("POST", "/chat/completions", body=b"{}", idle_s=0.2) as response:
            await asyncio.sleep(0.5)
            assert sent < size / 2
            assert len(await response.read_up_to(2 * size)) == size
            assert response.read_whole


async def test_a_connection_closed_while_idle_is_replaced_unseen() -> None:
    async def once(writer: asyncio.StreamWriter) -> None:
        writer.write(SHORT)
        await writer.drain()
        writer.close()

    async with served(once, SHORT) as server, client(server) as upstream:
        assert await body_of(upstream) == b"ok"
        await asyncio.sleep(0.05)
        assert await body_of(upstream) == b"ok"
        assert (len(server.requests), server.connections) == (2, 2)


async def test_no_request_is_ever_sent_twice() -> None:
    async with served(SHORT, None, SHORT) as server, client(server) as upstream:
        assert await body_of(upstream) == b"ok"
        with pytest.raises(ProviderError, match="hung up"):
            await body_of(upstream)
        assert len(server.requests) == 2
        assert await body_of(upstream) == b"ok"


async def test_a_new_connection_that_is_closed_is_not_tried_again() -> None:
    async with served(None) as server, client(server) as upstream:
        with pytest.raises(ProviderError):
            await body_of(upstream)
        assert len(server.requests) == 1


async def test_more_than_was_asked_for_is_never_the_next_answer() -> None:
    async with served(SHORT + OK + b"Content-Length: 5\r\n\r\nwrong", SHORT) as server:
        async with client(server) as upstream:
            assert await body_of(upstream) == b"ok"
            await asyncio.sleep(0.05)
            assert await body_of(upstream) == b"ok"
        assert server.connections == 2


async def test_no_more_connections_than_allowed() -> None:
    running, most = 0, 0

    async def slow(writer: asyncio.StreamWriter) -> None:
        nonlocal running, most
        running, most = running + 1, max(most, running + 1)
        await asyncio.sleep(0.05)
        running -= 1
        writer.write(SHORT)

    async with served(slow) as server, client(server, max_connections=2) as upstream:
        assert await asyncio.gather(*(body_of(upstream) for _ in range(8))) == [b"ok"] * 8
        assert (most, server.connections) == (2, 2)


async def test_who_finds_no_free_connection_in_time_is_told() -> None:
    asked, free = asyncio.Event(), asyncio.Event()

    async def held(writer: asyncio.StreamWriter) -> None:
        asked.set()
        await free.wait()
        writer.write(SHORT)

    async with served(held) as server, client(server, max_connections=1, connect_timeout_s=1.0) as upstream:
        first = asyncio.create_task(body_of(upstream))
        await asked.wait()
        with pytest.raises(ProviderTimeout):
            await body_of(upstream)
        free.set()
        assert await first == b"ok"
        assert await body_of(upstream) == b"ok"
        assert server.connections == 1


async def test_connections_that_nobody_needs_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_KEEPALIVE_S", 0.1)
    async with served(SHORT) as server, client(server) as upstream:
        await asyncio.gather(*(body_of(upstream) for _ in range(4)))
        assert server.open > 0
        await eventually(lambda: server.open == 0)
        assert await body_of(upstream) == b"ok"


async def test_leaving_the_pool_closes_every_connection() -> None:
    async with served(SHORT) as server:
        async with client(server) as upstream:
            await body_of(upstream)
            assert server.open == 1
        await eventually(lambda: server.open == 0)


async def test_a_server_that_is_not_there_is_told() -> None:
    async with served(SHORT) as server:
        pass
    async with client(server) as upstream:
        with pytest.raises(ProviderError, match="cannot be reached"):
            await body_of(upstream)


async def test_tls_is_spoken_with_servers_that_can_be_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = tmp_path / "server.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)  # noqa: ASYNC221
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    async with served(SHORT, tls=tls) as server:
        url = f"https://localhost:{server.port}/v1"
        async with Upstream("gpt", url) as stranger:
            with capture_logs() as logs, pytest.raises(ProviderError, match="cannot be reached"):
                await body_of(stranger)
        assert logs[-1]["reason"] == "certificate"
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        async with Upstream("gpt", url) as trusted:
            assert [await body_of(trusted, idle_s=5) for _ in range(2)] == [b"ok", b"ok"]
            assert server.requests[0].startswith(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost:")
        async with Upstream("gpt", f"https://127.0.0.1:{server.port}/v1") as another_name:
            with pytest.raises(ProviderError, match="cannot be reached"):
                await body_of(another_name)


async def test_the_environments_proxy_is_asked_unless_it_names_the_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with served(SHORT) as proxy, served(SHORT) as server:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("no_proxy", "")
        async with Upstream("gpt", "http://model.example:9/v1") as upstream:
            assert await body_of(upstream) == b"ok"
        assert proxy.requests[0].startswith(b"POST http://model.example:9/v1/chat/completions HTTP/1.1")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        async with client(server) as upstream:
            assert await body_of(upstream) == b"ok"
        assert (len(proxy.requests), len(server.requests)) == (1, 1)


async def test_the_log_says_why_a_server_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(SHORT) as gone:
        pass

    async def reason(url: str) -> str:
        async with Upstream("gpt", url) as upstream:
            with capture_logs() as logs, pytest.raises(ProviderError, match="cannot be reached"):
                await body_of(upstream)
        return str(logs[-1]["reason"])

    assert await reason(f"http://127.0.0.1:{gone.port}/v1") == "refused"
    assert await reason("http://nowhere.invalid/v1") == "name"
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{gone.port}")
    assert await reason("http://model.example/v1") == "proxy"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8000/v1",
        "ftp://x/v1",
        "http://",
        "http://x:port/v1",
        "http://a:b@x/v1",
        "http://x/v1?v=1",
    ],
)
def test_urls_of_something_else_are_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        Endpoint(base_url=url, model="m")


def test_keys_that_no_header_can_carry_are_refused() -> None:
    with pytest.raises(ValidationError, match="line break"):
        Endpoint(base_url="http://x/v1", model="m", api_key="sk-1\n")  # type: ignore[arg-type]
