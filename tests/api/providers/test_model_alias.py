"""The alias of a fine-tuned model follows its pointer file, and splits sessions evenly and for good."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from api.providers.choice import Providers
from api.providers.model_alias import ModelAlias
from api.providers.openai.pool import Upstream as Pool
from api.providers.openai.provider import OpenAICompatible
from api.providers.openai.upstreams import Upstreams
from api.settings import Settings
from tests.api.providers.provider_kit import OPTIONS, endpoint, prompt
from tests.api.providers.upstream import upstream

OLD, NEW = "faq-20261122-0000aaaa", "faq-20261123-1111bbbb"


def _point(file: Path, **content: Any) -> None:
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps(content), encoding="utf-8")
    fresh.replace(file)


def test_alias_without_a_file_stands_for_itself(tmp_path: Path) -> None:
    assert ModelAlias("faq-current", tmp_path / "current.json").resolve("세션") == "faq-current"


def test_alias_follows_the_file_while_the_process_runs(tmp_path: Path) -> None:
    file = tmp_path / "current.json"
    alias = ModelAlias("faq-current", file)
    for name in (OLD, NEW, OLD):
        _point(file, model=name, previous="whatever")
        assert alias.resolve() == name
    file.unlink()
    assert alias.resolve() == "faq-current"


@pytest.mark.parametrize("broken", ["", "[]", '{"model": ""}', '{"model": "x", "ab": {"model": "y"}}'])
def test_alias_keeps_the_last_good_file(tmp_path: Path, broken: str) -> None:
    file = tmp_path / "current.json"
    alias = ModelAlias("faq-current", file)
    _point(file, model=OLD)
    assert alias.resolve() == OLD
    file.write_text(broken, encoding="utf-8")
    os.utime(file, ns=(1, 1))
    assert alias.resolve() == OLD


def test_split_is_sticky_and_as_large_as_told(tmp_path: Path) -> None:
    file = tmp_path / "current.json"
    _point(file, model=OLD, ab={"model": NEW, "share": 0.2})
    alias, other = ModelAlias("faq-current", file), ModelAlias("faq-current", file)
    sessions = [f"판매자-{n}" for n in range(5000)]
    first = [alias.resolve(session) for session in sessions]
    assert first == [other.resolve(session) for session in sessions]
    assert 0.18 < first.count(NEW) / len(first) < 0.22
    assert alias.resolve(None) == OLD


async def test_provider_asks_for_what_the_alias_stands_for(tmp_path: Path) -> None:
    file = tmp_path / "current.json"
    _point(file, model=NEW)
    async with upstream() as server:
        settings = endpoint(server)
        alias = ModelAlias(settings.model, file)
        async with Pool("vllm", settings.base_urls[0], api_key="") as pool:
            provider = OpenAICompatible("vllm", settings, Upstreams("vllm", [pool]), alias=alias)
            _ = [chunk async for chunk in provider.stream(prompt(), OPTIONS)]
            providers = Providers({"vllm": provider}, default="vllm", aliases={"vllm": alias})
            assert providers.model_of("vllm", "세션") == NEW
        assert server.requests[-1].body["model"] == NEW
        assert "session" not in server.requests[-1].body


def test_settings_name_the_file_of_the_vllm_endpoint() -> None:
    vllm = Settings().providers.endpoints["vllm"]
    assert (vllm.model, str(vllm.alias_file)) == ("faq-current", "var/adapters/current.json")
