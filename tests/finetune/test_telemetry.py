"""Training tells nobody of itself."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("huggingface_hub", reason="NOT TESTED: run `make test-finetune`")


def test_hugging_face_is_told_nothing() -> None:
    code = "import finetune, huggingface_hub.constants as c; print(c.HF_HUB_DISABLE_TELEMETRY)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "True"
