"""Every YAML of `configs/` that the code reads is loaded by that code; none is left out.

What Kubernetes, Prometheus and Grafana read is checked by `make check-deploy`; the demo checks its own.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from api.settings import Settings
from finetune.config import load_config as load_finetune
from finetune.preflight import check
from serving.launch.command import plan, resolve_shape
from serving.launch.config import load_config as load_serving

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "configs"
ELSEWHERE = {"k8s", "observability", "demo"}
FINETUNE = sorted((CONFIGS / "finetune").glob("*.yaml"))
SERVING = sorted((CONFIGS / "serving").glob("*.yaml"))
TINY = "tiny-cpu.yaml"


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths in configurations are relative to where the commands are run."""
    monkeypatch.chdir(ROOT)


def test_every_yaml_is_checked_by_somebody() -> None:
    found = {p for kind in ("*.yaml", "*.yml") for p in CONFIGS.rglob(kind)}
    ours = {p for p in found if p.relative_to(CONFIGS).parts[0] not in ELSEWHERE}
    settings = {CONFIGS / f"{name}.yaml" for name in ("app", "evaluate", "evaluate-cpu")}
    assert ours == {*FINETUNE, *SERVING, *settings}
    assert len(FINETUNE) >= 4
    assert len(SERVING) == 9


@pytest.mark.parametrize("path", [*FINETUNE, *SERVING], ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_yaml_opens_with_its_exact_command(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# python -m ")
    assert str(path.relative_to(ROOT)) in first


@pytest.mark.parametrize("path", FINETUNE, ids=lambda p: p.stem)
def test_finetune_yaml_is_valid_and_fits(path: Path) -> None:
    config = load_finetune(path)
    if path.name.startswith("qwen3"):
        assert check(config).needed > 1e10


@pytest.mark.parametrize("path", SERVING, ids=lambda p: p.stem)
def test_serving_yaml_is_valid_and_fits(path: Path) -> None:
    config = load_serving(path)
    if path.name != TINY:
        made = plan(config, resolve_shape(config))
        assert made.context >= 8192


def test_app_yaml_says_the_defaults() -> None:
    assert Settings().providers.endpoints["vllm"].model == "faq-current"
