"""`smartstore eval --provider`: whose answers a report holds."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.api.live import smartstore


def _evaluate(data_dir: Path, cases: Path, *options: str) -> subprocess.CompletedProcess[str]:
    dead = {"SMARTSTORE_PROVIDERS__ENDPOINTS__VLLM__BASE_URL": "http://127.0.0.1:9/v1",
            "SMARTSTORE_PROVIDERS__ENDPOINTS__VLLM__MAX_RETRIES": "0"}  # fmt: skip
    return smartstore(data_dir, "eval", "scope", "--cases", str(cases), "--json", *options, **dead)


def test_answers_of_a_stand_in_are_counted_and_fail_the_run(data_dir: Path, tmp_path: Path) -> None:
    cases = tmp_path / "cases.jsonl"
    cases.write_text(
        '{"id": "1", "text": "배송비는 어떻게 설정하나요?", "label": "in_scope"}\n', encoding="utf-8"
    )
    failed = _evaluate(data_dir, cases, "--provider", "vllm")
    assert json.loads(failed.stdout)["answered_by"] == {"extractive": 1}
    assert failed.returncode == 1
    assert "another provider than vllm answered 100.0%" in failed.stderr
    allowed = _evaluate(data_dir, cases, "--provider", "vllm", "--max-fallback", "1")
    assert allowed.returncode == 0
    own = _evaluate(data_dir, cases)
    report = json.loads(own.stdout)
    assert (own.returncode, report["answered_by"], report["fallback_share"]) == (0, {"extractive": 1}, 0.0)
    assert report["turn_ms"]["p95"] > 0
