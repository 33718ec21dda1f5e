"""The published OpenAPI document holds for what the server really does (schemathesis)."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.api.live import serve

ROOT = Path(__file__).resolve().parents[3]


# How long so many requests take is the machine's affair.
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "options",
    [
        ["--max-examples", "15", "--exclude-path-regex", "^/(jobs|faqs)"],
        ["--max-examples", "3", "--include-path-regex", "^/faqs"],
    ],
    ids=["all but edits", "edits"],
)
def test_server_conforms_to_its_openapi_document(options: list[str], data_dir: Path, tmp_path: Path) -> None:
    # A server of its own: what is made up retires FAQs, too.
    shutil.copytree(data_dir / "index", tmp_path / "index")
    with serve(tmp_path) as server:
        command = [
            sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json",
            "--seed", "1", "--phases", "examples,coverage,fuzzing",
            "--checks", "not_a_server_error,status_code_conformance,content_type_conformance,"
            "response_schema_conformance,negative_data_rejection",
            "--request-timeout", "20", *options,
        ]  # fmt: skip
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=380)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
