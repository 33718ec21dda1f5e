"""Load: clients that ask one after another over kept connections, measured from outside.

Knows HTTP framing only, so that a request costs the generator a few microseconds.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass
class Result:
    """What one run of a target showed; latencies in ms, CPU in seconds of all its processes."""

    seconds: float
    cpu_s: float
    latencies_ms: list[float] = field(default_factory=list)

    @property
    def requests(self) -> int:
        return len(self.latencies_ms)


class _Client(asyncio.Protocol):
    """One connection with one request at a time."""

    def __init__(self) -> None:
        self._buffer, self._done = bytearray(), asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(ConnectionError(f"closed in mid-answer: {bytes(self._buffer)[-200:]!r}"))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head = self._buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        length = self._buffer.lower().find(b"content-length:", 0, head)
        if length < 0:
            over = self._buffer.endswith(b"\r\n0\r\n\r\n")
        else:
            line = bytes(self._buffer[length + 15 : self._buffer.find(b"\r\n", length)])
            over = len(self._buffer) >= head + 4 + int(line)
        if over and not self._done.done():
            self._done.set_result(bytes(self._buffer))

    async def ask(self, request: bytes) -> bytes:
        """The whole response to a request."""
        self._buffer.clear()
        self._done = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        answer: bytes = await asyncio.wait_for(self._done, 60)
        return answer

    def close(self) -> None:
        self._done.cancel()
        self._transport.close()


def request_bytes(port: int, path: str, body: bytes, key: str) -> bytes:
    """A POST as it goes over the wire."""
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nAccept: */*\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


async def once(port: int, request: bytes) -> bytes:
    """One response, head and body."""
    _, client = await asyncio.get_running_loop().create_connection(_Client, "127.0.0.1", port)
    try:
        return await client.ask(request)
    finally:
        client.close()


async def load(
    port: int, request: bytes, *, clients: int, seconds: float, pids: Iterable[int], warm_s: float = 0.3
) -> Result:
    """Asks for `seconds` with `clients` at the same time, after a short time to warm up."""
    loop = asyncio.get_running_loop()
    opened = [(await loop.create_connection(_Client, "127.0.0.1", port))[1] for _ in range(clients)]
    processes = list(pids)
    latencies: list[float] = []
    begin = time.perf_counter() + warm_s
    end = begin + seconds

    async def count() -> float:
        await asyncio.sleep(warm_s)
        return cpu_seconds(processes)

    async def run(client: _Client) -> None:
        while (started := time.perf_counter()) < end or not latencies:
            answer = await client.ask(request)
            if not answer.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(answer[:500])
            if started >= begin:
                latencies.append((time.perf_counter() - started) * 1000)

    try:
        before, *_ = await asyncio.gather(count(), *(run(client) for client in opened))
        took = time.perf_counter() - begin
        return Result(took, cpu_seconds(processes) - float(before or 0), latencies)
    finally:
        for client in opened:
            client.close()


def cpu_seconds(pids: Iterable[int]) -> float:
    """CPU time of processes and all their descendants so far, user and system."""
    return sum(_ticks(pid) for pid in _family(pids)) * _TICK_S


def _family(pids: Iterable[int]) -> list[int]:
    found = list(pids)
    for pid in found:
        for thread in Path(f"/proc/{pid}/task").glob("*"):
            found.extend(int(child) for child in (thread / "children").read_text().split())
    return found


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return int(fields[11]) + int(fields[12])
