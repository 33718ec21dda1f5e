"""Adapters: files are checked, the canary decides, and the alias moves only afterwards.

The server is a small real HTTP server with vLLM's routes; `make e2e-vllm` does the same with vLLM itself.
"""

from __future__ import annotations

import hashlib
import json
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from api.providers.model_alias import ModelAlias
from serving.adapters import Adapters
from serving.errors import AdapterError, CanaryFailed, ServerFailed, ServingError
from serving.launch.preflight import make_plan
from serving.registry.adapter import base_fingerprint, check_modules, check_name, read_adapter
from serving.registry.pointer import FILE, Pointer, read_pointer
from serving.registry.shape import read_shape
from serving.vllm_api import Vllm
from tests.serving.broken import halved, misnamed

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


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A base model's folder with weights of no meaning."""
    folder = tmp_path / "base"
    folder.mkdir()
    sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1}
    rest = {"intermediate_size": 16, "vocab_size": 64, "head_dim": 4, "max_position_embeddings": 512}
    (folder / "config.json").write_text(json.dumps({"model_type": "qwen3"} | sizes | rest))
    (folder / "model.safetensors").write_bytes(b"weights" * 50)
    return folder


@pytest.fixture
def server(base: Path) -> Iterator[Server]:
    """A running server over that base."""
    state = Server(base)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            rows: list[dict[str, Any]] = [{"id": "tiny", "root": str(state.base), "parent": None}]
            rows += [{"id": n, "root": f, "parent": "tiny"} for n, f in state.loaded.items()]
            self._send(200, {"data": rows})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if self.path.endswith("chat/completions"):
                content = state.answer(body["model"])
                self._send(200, {"choices": [{"message": {"content": content}}]})
            elif state.refuses:
                self._send(404, {"detail": "Not Found"})
            elif self.path.endswith("unload_lora_adapter"):
                state.loaded.pop(body["lora_name"])
                self._send(200, {})
            else:
                state.loaded[body["lora_name"]] = body["lora_path"]
                self._send(200, {})

        def _send(self, status: int, body: dict[str, Any]) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        state.url = f"http://127.0.0.1:{http.server_port}/v1"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield state
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


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    """The folder of adapters."""
    return tmp_path / "adapters"


@pytest.fixture
def adapters(registry: Path, server: Server) -> Iterator[Adapters]:
    """The registry on that server."""
    with Vllm(server.url) as vllm:
        yield Adapters(registry, [vllm])


def test_promotion_loads_sings_and_moves_the_alias(
    adapters: Adapters, registry: Path, server: Server, base: Path
) -> None:
    name = publish(registry, base)
    alias = ModelAlias("faq-current", registry / "current.json")
    assert alias.resolve() == "faq-current"
    adapters.promote(name)
    assert server.loaded == {name: str(registry / name)}
    assert alias.resolve("세션") == name


def test_rollback_goes_back_step_by_step_to_the_base(adapters: Adapters, registry: Path, base: Path) -> None:
    first, second = publish(registry, base), publish(registry, base, salt="둘째")
    alias = ModelAlias("faq-current", registry / "current.json")
    adapters.promote(first)
    adapters.promote(second)
    assert [adapters.rollback().model, alias.resolve()] == [first, first]
    assert [adapters.rollback().model, alias.resolve()] == ["", "tiny"]
    with pytest.raises(ServingError, match="nothing to go back to"):
        adapters.rollback()


def test_trial_gets_its_share_and_ends_with_rollback(adapters: Adapters, registry: Path, base: Path) -> None:
    first, second = publish(registry, base), publish(registry, base, salt="둘째")
    adapters.promote(first)
    adapters.promote(second, share=0.3)
    alias = ModelAlias("faq-current", registry / "current.json")
    met = [alias.resolve(f"세션-{n}") for n in range(2000)]
    assert 0.25 < met.count(second) / len(met) < 0.35
    assert adapters.rollback() == Pointer(model=first, earlier=("",))
    with pytest.raises(AdapterError, match="answers all sessions already"):
        adapters.promote(first, share=0.5)


def test_ignored_adapter_is_caught_unloaded_and_never_promoted(
    adapters: Adapters, registry: Path, server: Server, base: Path
) -> None:
    name = publish(registry, base)
    server.ignores.add(name)
    with pytest.raises(CanaryFailed, match="loaded and ignored"):
        adapters.promote(name)
    assert server.loaded == {}
    assert read_pointer(registry / FILE) == Pointer()


def test_adapter_unlike_its_reference_is_caught(
    adapters: Adapters, registry: Path, server: Server, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = publish(registry, base)
    monkeypatch.setattr(server, "answer", lambda model: "전혀 다른 말" if model == name else BASE_ANSWER)
    with pytest.raises(CanaryFailed, match="like the reference"):
        adapters.load(name)
    assert server.loaded == {}


def test_adapter_of_another_base_is_refused_before_it_is_loaded(
    adapters: Adapters, registry: Path, server: Server, base: Path
) -> None:
    name = publish(registry, base)
    (base / "model.safetensors").write_bytes(b"other weights" * 50)
    with pytest.raises(AdapterError, match="was trained on"):
        adapters.load(name)
    assert server.loaded == {}


@pytest.mark.parametrize("breaks", [misnamed, halved])
def test_wrong_module_names_are_refused_by_name(breaks: Any, registry: Path, base: Path) -> None:
    good = read_adapter(registry, publish(registry, base))
    check_modules(good.folder, read_shape(base))
    bad = breaks(good, registry)
    check_name(bad)
    with pytest.raises(AdapterError, match="the base has no module for base_model"):
        check_modules(bad.folder, read_shape(base))


def test_changed_files_do_not_pass_under_the_old_name(adapters: Adapters, registry: Path, base: Path) -> None:
    name = publish(registry, base)
    (registry / name / "adapter_config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(AdapterError, match="not those it was named for"):
        adapters.promote(name)


def test_unknown_names_list_what_is_there(adapters: Adapters, registry: Path, base: Path) -> None:
    name = publish(registry, base)
    with pytest.raises(AdapterError, match=name):
        adapters.load("faq-20261122-00000000")
    with pytest.raises(AdapterError, match="is no adapter's name"):
        adapters.load("../../etc")


def test_server_without_runtime_updates_is_told_apart(
    adapters: Adapters, registry: Path, server: Server, base: Path
) -> None:
    server.refuses = True
    with pytest.raises(ServerFailed, match="VLLM_ALLOW_RUNTIME_LORA_UPDATING"):
        adapters.load(publish(registry, base))


def test_adapter_in_service_cannot_be_removed(adapters: Adapters, registry: Path, base: Path) -> None:
    first, second = publish(registry, base), publish(registry, base, salt="둘째")
    adapters.promote(first)
    with pytest.raises(AdapterError, match="answers sessions"):
        adapters.remove(first)
    adapters.promote(second)
    adapters.remove(first)
    assert [each.name for each in adapters.all()] == [second]
    assert adapters.rollback().model == ""


def test_launch_loads_what_is_in_service_and_refuses_a_foreign_base(
    adapters: Adapters, registry: Path, base: Path, tmp_path: Path
) -> None:
    from serving.launch.config import Config

    name = publish(registry, base, rank=12)
    adapters.promote(name)
    config = Config.model_validate(
        {
            "model": {"path": str(base), "names": ["tiny", "faq-current"], "dtype": "float32"},
            "hardware": {"device": "cpu", "memory_gb": 2},
            "context": {"max_tokens": 256, "min_tokens": 128},
            "lora": {"adapters": str(registry), "rank": 1},
        }
    )
    made = make_plan(config)
    assert f"{name}={registry / name}" in made.arguments
    assert "--max-lora-rank=16" in made.arguments
    (base / "model.safetensors").write_bytes(b"other weights" * 50)
    with pytest.raises(AdapterError, match="was trained on"):
        make_plan(config)
