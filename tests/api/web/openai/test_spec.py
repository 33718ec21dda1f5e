"""OpenAI's published API description against a real server (schemathesis).

The description names successes only, so the errors of its own `ErrorResponse` are added to it; and as
a made-up model is always a 404, every request that has one asks for `faq` instead.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.api.live import Live, serve

SPEC = Path(__file__).resolve().parents[5] / "shared" / "specs" / "openai-openapi.json"
# Not POST /responses: its body has so many alternatives that the tool never comes to an end; its events
# and objects are held against the description in test_responses.py.
PATHS = (
    "/models",
    "/models/{model}",
    "/chat/completions",
    "/responses/{response_id}",
    "/responses/{response_id}/cancel",
    "/responses/{response_id}/input_items",
)
HOOKS = """
import schemathesis

@schemathesis.hook
def map_body(context, body):
    if isinstance(body, dict) and isinstance(body.get("model"), str):
        body["model"] = "faq"
    return body
"""
# What a server may refuse although the description allows it (pictures, several answers, a question
# without text), and take although it does not (fields that a grounded answer ignores).
LEFT_OUT = "positive_data_acceptance,negative_data_rejection"


@pytest.fixture
def described(tmp_path: Path) -> Path:
    """The description of the paths under test, with its errors."""
    if not SPEC.exists():
        pytest.skip("NOT TESTED against OpenAI's description: it is not here")
    spec = json.loads(SPEC.read_text(encoding="utf-8"))
    spec["paths"] = {path: dict(item) for path, item in spec["paths"].items() if path in PATHS}
    spec["paths"]["/models/{model}"].pop("delete")
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorResponse"}}}
    for item in spec["paths"].values():
        for operation in item.values():
            # Two operations describe their 404 without the `error` around it that every SDK reads.
            operation["responses"].pop("404", None)
            operation["responses"] |= {"4XX": {"description": "error", "content": error}}
            operation["responses"] |= {"429": {"description": "too many", "content": error}}
    file = tmp_path / "openai.json"
    file.write_text(json.dumps(spec), encoding="utf-8")
    (tmp_path / "hooks.py").write_text(HOOKS)
    return file


def test_server_conforms_to_openais_description(data_dir: Path, described: Path) -> None:
    key = "a-key-of-the-settings-that-is-long-enough"
    with serve(data_dir, SMARTSTORE_AUTH__REQUIRED="true", SMARTSTORE_AUTH__ADMIN_KEY=key) as server:
        done = conform(server, described, key)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-1000:]


def conform(server: Live, described: Path, key: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable, "-m", "schemathesis.cli", "run", described.name, "--url", f"{server.url}/v1",
        "--header", f"Authorization: Bearer {key}", "--exclude-checks", LEFT_OUT,
        "--max-examples", "20", "--seed", "1", "--phases", "examples,coverage,fuzzing",
        "--request-timeout", "30", "--suppress-health-check", "all",
    ]  # fmt: skip
    env = os.environ | {"SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(described.parent)}
    return subprocess.run(command, cwd=described.parent, env=env, capture_output=True, text=True, timeout=300)
