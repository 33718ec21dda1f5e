"""A small real HTTP server with the routes of vLLM that adapters need, and adapters as training makes them.

It answers with streams, too: a loaded adapter says what its card says it should, anything else what the
base model says.
"""

from __future__ import annotations

import hashlib
import json
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from serving.registry.adapter import base_fingerprint
from serving.registry.shape import read_shape

BASE_ANSWER = "모델이 아무 말이나 합니다."
REFERENCE = "심사는 영업일로 1~3일 걸립니다. [1]"


@dataclass
class Server:
    """What the small server has loaded, and how it misbehaves."""

    base: Path
    loaded: dict[str, str] = field(default_factory=dict)
    ignores: set[str] = field(default_factory=set)
    refuses: bool = False
    url: str = ""

    def answer(self, model: str) -> str:
        """What a model says: an ignored adapter speaks like the base."""
        return BASE_ANSWER if model not in self.loaded or model in self.ignores else f"{REFERENCE}"


def make_base(folder: Path) -> Path:
    """A base model's folder with weights of no meaning."""
    folder.mkdir()
    sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1}
    rest = {"intermediate_size": 16, "vocab_size": 64, "head_dim": 4, "max_position_embeddings": 512}
    (folder / "config.json").write_text(json.dumps({"model_type": "qwen3"} | sizes | rest))
    (folder / "model.safetensors").write_bytes(b"weights" * 50)
    return folder


@contextmanager
def running_server(base: Path, *, port: int = 0) -> Iterator[Server]:
    """A running server over that base."""
    state = Server(base)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            rows: list[dict[str, Any]] = [{"id": "tiny", "root": str(state.base), "parent": None}]
            rows += [{"id": n, "root": f, "parent": "tiny"} for n, f in state.loaded.items()]
            self._send({"data": rows})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if self.path.endswith("chat/completions"):
                content = state.answer(body["model"])
                if body.get("stream"):
                    return self._stream(content)
                self._send({"choices": [{"message": {"content": content}}]})
            elif state.refuses:
                self._send({"detail": "Not Found"}, 404)
            elif self.path.endswith("unload_lora_adapter"):
                state.loaded.pop(body["lora_name"])
                self._send({})
            else:
                state.loaded[body["lora_name"]] = body["lora_path"]
                self._send({})

        def _send(self, body: dict[str, Any], status: int = 200) -> None:
            self._write(json.dumps(body).encode(), "application/json", status)

        def _stream(self, content: str) -> None:
            pieces = [{"delta": {"content": content}}, {"delta": {}, "finish_reason": "stop"}]
            chunks = [json.dumps({"choices": [{"index": 0, **piece}]}) for piece in pieces]
            self._write(
                "".join(f"data: {each}\n\n" for each in [*chunks, "[DONE]"]).encode(), "text/event-stream"
            )

        def _write(self, content: bytes, kind: str, status: int = 200) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as http:
        state.url = f"http://127.0.0.1:{http.server_port}/v1"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield state
        finally:
            http.shutdown()
            thread.join()


def publish(registry: Path, base: Path, *, day: str = "20261122", rank: int = 4, salt: str = "") -> str:
    """Writes an adapter as training does; returns its name."""
    shape, header, at = read_shape(base), {}, 0
    for layer in range(shape.layers):
        for module, (inputs, outputs) in shape.linear.items():
            place = "mlp" if module in ("gate_proj", "up_proj", "down_proj") else "self_attn"
            for side, size in (("A", [rank, inputs]), ("B", [outputs, rank])):
                name = f"base_model.model.model.layers.{layer}.{place}.{module}.lora_{side}.weight"
                end = at + 4 * size[0] * size[1]
                header[name] = {"dtype": "F32", "shape": size, "data_offsets": [at, end]}
                at = end
    told = json.dumps(header).encode()
    weights = struct.pack("<Q", len(told)) + told + bytes(at)
    config = json.dumps({"peft_type": "LORA", "r": rank, "salt": salt}).encode()
    name = f"faq-{day}-{hashlib.sha256(weights + config).hexdigest()[:8]}"
    folder = registry / name
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_bytes(weights)
    (folder / "adapter_config.json").write_bytes(config)
    messages = [{"role": "user", "content": "심사는 며칠 걸리나요?"}]
    canary = {"messages": messages, "max_tokens": 32, "reference": REFERENCE, "base": BASE_ANSWER}
    card = {
        "name": name, "base_model": str(base), "base_fingerprint": base_fingerprint(base), "rank": rank,
        "metrics": {}, "canary": canary,
    }  # fmt: skip
    (folder / "card.json").write_text(json.dumps(card, ensure_ascii=False), encoding="utf-8")
    return name
