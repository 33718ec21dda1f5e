"""Adapters: files are checked, the canary decides, and the alias moves only afterwards.

The server is a small real HTTP server with vLLM's routes; `make e2e-vllm` does the same with vLLM itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from api.providers.model_alias import ModelAlias
from serving.adapters import Adapters, open_adapters
from serving.errors import AdapterError, CanaryFailed, RegistryBusy, ServerFailed, ServingError
from serving.launch.preflight import make_plan
from serving.registry.adapter import check_modules, check_name, read_adapter
from serving.registry.moves import FILE as MOVES
from serving.registry.pointer import FILE, Pointer, locked, read_pointer
from serving.registry.shape import read_shape
from serving.vllm_api import Vllm
from tests.serving.broken import halved, misnamed
from tests.serving.vllm_server import BASE_ANSWER, Server, make_base, publish, running_server


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A base model's folder with weights of no meaning."""
    return make_base(tmp_path / "base")


@pytest.fixture
def server(base: Path) -> Iterator[Server]:
    """A running server over that base."""
    with running_server(base) as state:
        yield state


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    """The folder of adapters."""
    return tmp_path / "adapters"


@pytest.fixture
def adapters(registry: Path, server: Server) -> Iterator[Adapters]:
    """The registry on that server."""
    with Vllm(server.url) as vllm:
        yield Adapters(registry, [vllm], by="김운영")


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


def test_every_move_is_in_the_trail_with_who_and_from_what_to_what(
    adapters: Adapters, registry: Path, base: Path
) -> None:
    first, second = publish(registry, base), publish(registry, base, salt="둘째")
    adapters.promote(first)
    adapters.promote(second, share=0.25)
    adapters.end_trial()
    adapters.rollback()
    with pytest.raises(ServingError, match="no trial to end"):
        adapters.end_trial()
    adapters.remove(second)
    with (registry / MOVES).open("a") as trail:
        trail.write('{"half')
    moves = adapters.moves()
    assert [(move.action, move.name) for move in reversed(moves)] == [
        ("promote", first), ("try", second), ("end_trial", second), ("rollback", ""), ("remove", second),
    ]  # fmt: skip
    assert {move.by for move in moves} == {"김운영"}
    assert all(newer.before == older.after for newer, older in pairwise(moves))
    assert moves[3].after == {"model": first, "candidate": second, "share": 0.25}
    assert [move.name for move in adapters.moves(limit=1)] == [second]


def test_a_trial_ends_without_the_server(registry: Path, base: Path) -> None:
    with running_server(base) as server, open_adapters(registry, [server.url]) as adapters:
        adapters.promote(publish(registry, base), share=0.5)
    with open_adapters(registry, [server.url]) as adapters:
        assert adapters.servers()[0].error
        assert adapters.end_trial() == Pointer(base="tiny")
        assert ModelAlias("faq-current", registry / FILE).resolve() == "tiny"


def test_who_must_not_wait_is_told_that_somebody_else_moves_the_alias(
    registry: Path, server: Server, base: Path
) -> None:
    name = publish(registry, base)
    with open_adapters(registry, [server.url], wait=False) as adapters:
        with locked(registry), pytest.raises(RegistryBusy):
            adapters.promote(name)
        assert adapters.promote(name).model == name


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
