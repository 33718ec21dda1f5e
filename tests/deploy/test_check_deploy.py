"""`make check-deploy` passes on the repository and fails on each kind of fault."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.deploy.check_deploy import COMPOSE, ROOT, TOOLS, check


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the deployment files, to be broken."""
    for name in COMPOSE:
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    return tmp_path


def test_repository_has_no_fault() -> None:
    assert check() == []


@pytest.mark.parametrize(
    ("file", "old", "new", "fault"),
    [
        ("docker-compose.yml", "healthcheck:", "healthchek:", "check-jsonschema"),
        (
            "docker-compose.yml",
            "  rabbitmq:\n    image",
            "  rabbit:\n    image",
            "service rabbitmq is missing",
        ),
        ("docker-compose.gpu.yml", "vllm-openai:v0", "vllm-openai:v1", "vllm: image is not what"),
        ("docker-compose.gpu.yml", "--max-loras=4", "--max-loras=2", "vllm: command is not what"),
        ("configs/k8s/overlays/gpu/vllm.yaml", "--max-loras=4", "--max-loras=2", "vllm: command is not what"),
        ("configs/serving/container-bge-m3.yaml", "share: 0.06", "share: 0.2", "embedder: command is not"),
        ("docker-compose.yml", "SMARTSTORE_STATE__URL", "SMARTSTORE_STATE__URI", "is no setting"),
        ("docker-compose.yml", "valkey/valkey:8.1.1-alpine", "valkey/valkey", "has no version"),
        ("docker-compose.yml", "prom/prometheus:v3.3.1", "prom/prometheus:latest", "has no version"),
        ("docker-compose.yml", "./configs/observability/alerts.yml", "./configs/alerts.yml", "is not there"),
        ("docker-compose.yml", "command: [worker]", "command: [work]", "no command"),
        ("docker-compose.gpu.yml", "SMARTSTORE_EMBEDDER__DIM", "SMARTSTORE_EMBEDDER__DIMS", "is no setting"),
        ("docker-compose.gpu.yml", "vllm/vllm-openai:v0.32.0", "vllm/vllm-openai", "has no version"),
        ("configs/docker/Dockerfile", "FROM python:3.11.11-slim-bookworm\n", "FROM python\n", "hadolint"),
        ("configs/k8s/base/api.yaml", "containerPort", "containrPort", "kubernetes-validate"),
        ("configs/k8s/base/api.yaml", "path: /ready", "path: /redy", "is no route"),
        ("configs/k8s/base/api.yaml", "containerPort: 8000", "containerPort: 8001", "listens on 8000"),
        ("configs/k8s/base/worker.yaml", "smartstore_queue_depth}", "smartstore_queue}", "is no metric"),
        ("configs/k8s/base/worker.yaml", "args: [worker]", "args: [wurker]", "no command"),
        ("configs/k8s/base/corpus-sync.yaml", "sync, --from", "sink, --from", "sink is no command"),
        ("configs/k8s/base/corpus-sync.yaml", "--publish", "--publsh", "--publsh is no command or option"),
        ("configs/k8s/base/corpus-sync.yaml", "concurrencyPolicy", "concurrency", "kubernetes-validate"),
        ("configs/k8s/base/corpus-sync.yaml", "HISTORY__URL", "HISTORY__URI", "is no setting"),
        ("configs/k8s/base/config.yaml", "SMARTSTORE_TURNS__RUNNER", "SMARTSTORE_RUNNER", "is no setting"),
        ("configs/k8s/base/kustomization.yaml", "newTag: 0.2.0", "newTag: latest", "has no version"),
        ("configs/k8s/base/kustomization.yaml", "- worker.yaml", "- wrker.yaml", "is not there"),
        ("configs/k8s/overlays/keda/scaled-objects.yaml", "cooldownPeriod", "coolDown", "check-jsonschema"),
        ("configs/k8s/overlays/keda/scaled-objects.yaml", "queue_age_seconds", "queue_age", "is no metric"),
        ("configs/k8s/overlays/keda/engines.yaml", "clusterIP", "clusterIp", "kubernetes-validate"),
        (
            "configs/observability/alerts.yml",
            "smartstore_turns_total",
            "smartstore_turn_total",
            "is no metric",
        ),
    ],
    ids=lambda value: value[:30].strip() if isinstance(value, str) else None,
)
def test_a_fault_is_found(copy: Path, file: str, old: str, new: str, fault: str) -> None:
    text = (copy / file).read_text()
    assert old in text
    (copy / file).write_text(text.replace(old, new))
    found = check(copy, tools={fault} & set(TOOLS))
    assert any(fault in each for each in found), found


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl renders the overlays")
@pytest.mark.parametrize(
    ("file", "old", "new", "fault"),
    [
        ("kustomization.yaml", "path: /spec/strategy", "path: /spec/strategies", "kubectl kustomize"),
        ("kustomization.yaml", "$patch: delete", "spec: {maxReplicas: 30}", "two autoscalers of Deployment"),
        ("scaled-objects.yaml", "StatefulSet, name: vllm", "Deployment, name: vllm", "is not there"),
    ],
)  # fmt: skip
def test_a_fault_of_what_an_overlay_becomes_is_found(
    copy: Path, file: str, old: str, new: str, fault: str
) -> None:
    path = copy / "configs/k8s/overlays/keda" / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    found = check(copy, tools=["kubectl kustomize"])
    assert any(fault in line for line in found), found
