"""What stops a process waits longer than a process takes to end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from api.settings import TurnSettings
from api.web.server import longest_end_s

ROOT = Path(__file__).resolve().parent.parent.parent
# To close the services: jobs, broker, index and store.
CLOSING_S = 5.0


def test_grace_periods_exceed_the_longest_end() -> None:
    needed_s = longest_end_s(TurnSettings().drain_s) + CLOSING_S
    compose: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    graces = {name: compose[name].get("stop_grace_period", "10s") for name in ("api", "worker")}
    assert {name: float(grace.rstrip("s")) >= needed_s for name, grace in graces.items()} == {
        "api": True,
        "worker": True,
    }
    for name in ("api", "worker"):
        documents = yaml.safe_load_all((ROOT / "configs/k8s/base" / f"{name}.yaml").read_text())
        pods = [d["spec"]["template"]["spec"] for d in documents if d and d["kind"] == "Deployment"]
        assert pods
        assert all(pod["terminationGracePeriodSeconds"] >= needed_s for pod in pods)
