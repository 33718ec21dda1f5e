"""`finetune.evaluate` judges by `smartstore eval`: the same scorer as the gates, on the real command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from api.settings import ROOT, load_settings
from finetune.errors import ServiceError
from finetune.evaluate import evaluate
from finetune.judging.evaluation import measure

QUESTION = {"query": "배송비는 어떻게 설정하나요?", "gold": [0], "forbidden": []}
ANSWERS = [{"id": "a1", **QUESTION, "facts": [["배송비"]]}, {"id": "a2", **QUESTION, "facts": [["없는 말"]]}]
SCOPE = [{"id": "s1", "text": "오늘 점심 뭐 먹을까요?", "label": "off_topic"}]


def test_contenders_are_measured_and_paired(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMARTSTORE_DATA_DIR", str(data_dir))
    monkeypatch.setenv("SMARTSTORE_PROVIDERS__ENDPOINTS__VLLM__BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("SMARTSTORE_PROVIDERS__ENDPOINTS__VLLM__MAX_RETRIES", "0")
    files = [tmp_path / "answers.jsonl", tmp_path / "scope.jsonl"]
    for file, cases in zip(files, (ANSWERS, SCOPE), strict=True):
        file.write_text("".join(json.dumps(case) + "\n" for case in cases), encoding="utf-8")
    losses = {"base": [3.0, 3.1, 3.2], "candidate": [1.0, 1.2, 1.4]}
    report = evaluate({"base": "extractive", "candidate": "extractive"}, files, losses)
    assert [report["base"][name] for name in ("answers", "scope", "citations")] == [0.5, 1.0, 1.0]
    assert report["candidate"]["loss"] == pytest.approx(1.2)
    assert set(report["judgement"]["differences"]) == {"answers", "scope", "citations", "loss"}
    assert report["judgement"]["verdict"] == "promote"
    with pytest.raises(ServiceError, match="another provider than vllm"):
        measure("vllm", files[:1], limit=1)


def test_the_example_settings_name_the_contenders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMARTSTORE_CONFIG", str(ROOT / "configs/evaluate.yaml"))
    monkeypatch.setenv("SMARTSTORE_PROVIDERS__ENDPOINTS__VLLM-CANDIDATE__MODEL", "faq-20261122-1a2b3c4d")
    providers = load_settings().providers
    assert {"vllm", "vllm-base", "vllm-candidate"} <= set(providers.names)
    assert providers.endpoints["vllm-candidate"].model == "faq-20261122-1a2b3c4d"
    assert providers.endpoints["vllm-candidate"].base_url == providers.endpoints["vllm"].base_url
    assert providers.fallback == ()
