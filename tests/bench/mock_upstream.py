"""The fastest OpenAI-compatible server there is: prepared bytes, no parsing beyond the head.

`http://127.0.0.1:PORT/v1` answers JSON, or a stream of 32 chunks written one by one;
`/paced/v1` waits 4 ms between them, so that each arrives on its own.

By hand: python -m tests.bench.mock_upstream 9100
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import uvloop

CHUNKS = 32
PACE_S = 0.004
_FRAME = {"id": "chatcmpl-bench", "object": "chat.completion", "created": 1, "model": "bench"}
_USAGE = {"prompt_tokens": 21, "completion_tokens": CHUNKS, "total_tokens": 21 + CHUNKS}


def _chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _event(choices: list[dict[str, Any]], **fields: Any) -> bytes:
    body = {**_FRAME, "object": "chat.completion.chunk", "choices": choices, **fields}
    return _chunked(f"data: {json.dumps(body, ensure_ascii=False)}\n\n".encode())


def _delta(delta: dict[str, str], finish: str | None = None) -> bytes:
    return _event([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}])


EVENTS = [
    _delta({"role": "assistant", "content": ""}),
    *(_delta({"content": f"조각 {n} "}) for n in range(CHUNKS - 2)),
    _delta({}, "stop"),
]
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_STREAM_END = _event([], usage=_USAGE) + _chunked(b"data: [DONE]\n\n") + b"0\r\n\r\n"
_MESSAGE = {"role": "assistant", "content": "배송비는 상품 등록 화면에서 정합니다. " * 4, "refusal": None}
_CHOICE = {"index": 0, "message": _MESSAGE, "logprobs": None, "finish_reason": "stop"}
_JSON = json.dumps({**_FRAME, "choices": [_CHOICE], "usage": _USAGE}, ensure_ascii=False).encode()
_WHOLE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
    len(_JSON),
    _JSON,
)


class Mock(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, rest = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        fields = head.lower().split(b"content-length:")
        length = int(fields[1].split(b"\r\n")[0]) if len(fields) > 1 else 0
        if len(rest) < length:
            return
        body, self._received = rest[:length], rest[length:]
        if b'"stream":true' in body.replace(b" ", b""):
            pace = PACE_S if b"/paced/" in head.split(b"\r\n")[0] else 0.0
            self._task = asyncio.ensure_future(self._stream(pace))
        else:
            self._transport.write(_WHOLE)

    async def _stream(self, pace: float) -> None:
        self._transport.write(_STREAM_HEAD)
        for event in EVENTS:
            self._transport.write(event)
            await asyncio.sleep(pace)
        self._transport.write(_STREAM_END)


async def serve(port: int) -> None:
    """Serves until cancelled."""
    server = await asyncio.get_running_loop().create_server(Mock, "127.0.0.1", port)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
