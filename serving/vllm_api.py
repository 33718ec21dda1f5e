"""A client for what a running vLLM offers beside answering: its models, adapters, health, counters.

Knows HTTP and vLLM's routes; knows nothing of cards and aliases. Blocking: commands use it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import httpx

from serving.errors import ServerFailed

_SAMPLE = re.compile(r"^(vllm:\w+)(?:\{.*\})?\s+(\S+)$", re.MULTILINE)


class Vllm:
    """One server.

    Args:
        url: `http://host:port`, with or without `/v1`.
        api_key: sent as a bearer token where not empty.
        timeout_s: for one request, in seconds.
    """

    def __init__(self, url: str, *, api_key: str = "", timeout_s: float = 120.0) -> None:
        self.url = url.rstrip("/").removesuffix("/v1")
        headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = httpx.Client(base_url=self.url, timeout=timeout_s, headers=headers, trust_env=False)

    def __enter__(self) -> Vllm:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def healthy(self) -> bool:
        """Whether it answers requests now."""
        try:
            return self._http.get("/health", timeout=5.0).status_code == 200
        except httpx.HTTPError:
            return False

    def models(self) -> list[dict[str, Any]]:
        """Base models and loaded adapters; an adapter has a `parent`, `root` is where it was loaded from."""
        listed: list[dict[str, Any]] = self._call("GET", "/v1/models").json()["data"]
        return listed

    def base(self) -> dict[str, Any]:
        """The base model, under its first name.

        Raises:
            ServerFailed: it serves none.
        """
        for model in self.models():
            if not model.get("parent"):
                return model
        raise ServerFailed(self.url, "serves no base model")

    def load(self, name: str, folder: str) -> None:
        """Loads an adapter from a folder on the server's disk.

        Raises:
            ServerFailed: it refuses, or was started without runtime updates.
        """
        self._call("POST", "/v1/load_lora_adapter", {"lora_name": name, "lora_path": folder})

    def unload(self, name: str) -> None:
        """Unloads an adapter; raises `ServerFailed` where it is not loaded."""
        self._call("POST", "/v1/unload_lora_adapter", {"lora_name": name})

    def answer(self, model: str, messages: Sequence[Mapping[str, str]], *, max_tokens: int) -> str:
        """The greedy answer, as training computes it: no thinking, temperature 0."""
        body = {
            "model": model,
            "messages": list(messages),
            "max_tokens": max_tokens,
            "temperature": 0,
            "chat_template_kwargs": {"enable_thinking": False},
        }
        told = self._call("POST", "/v1/chat/completions", body).json()
        return told["choices"][0]["message"].get("content") or ""

    def counters(self) -> dict[str, float]:
        """vLLM's metrics, summed over their labels."""
        sums: dict[str, float] = {}
        for name, value in _SAMPLE.findall(self._call("GET", "/metrics").text):
            sums[name] = sums.get(name, 0.0) + float(value)
        return sums

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        try:
            response = self._http.request(method, path, json=body)
        except httpx.HTTPError as exc:
            raise ServerFailed(self.url, f"cannot be reached ({exc})") from exc
        if (
            response.status_code == 404
            and path.endswith("_lora_adapter")
            and "cannot be found" not in response.text
        ):
            raise ServerFailed(
                self.url, f"{path}: not found; start vLLM with VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"
            )
        if response.status_code != 200:
            raise ServerFailed(self.url, f"{path}: HTTP {response.status_code}: {_reason(response)}")
        return response


def _reason(response: httpx.Response) -> str:
    try:
        told = response.json()
        return str(told.get("error", {}).get("message") or told.get("message") or told)[:500]
    except (ValueError, AttributeError):
        return response.text[:500]
