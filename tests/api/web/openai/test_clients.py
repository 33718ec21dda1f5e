"""Other people's clients, unmodified, in environments of their own: Agents SDK, Vercel AI SDK."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.live import Live

HERE = Path(__file__).parent / "clients"
ROOT = Path(__file__).resolve().parents[4]
AGENTS = ROOT / "var" / "clients" / "python"
NODE = ROOT / "var" / "clients" / "node"


def run(live: Live, *command: str, cwd: Path | None = None) -> dict[str, Any]:
    """Runs a client's program against the server and reads what it prints."""
    env = os.environ | {"OPENAI_BASE_URL": f"{live.url}/v1", "OPENAI_API_KEY": "unused"}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr[-4000:]
    printed: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return printed


def test_agents_sdk_with_its_defaults(live: Live) -> None:
    python = AGENTS / "bin" / "python"
    if not python.exists():
        pytest.skip("NOT TESTED with the OpenAI Agents SDK: run `make clients`")
    printed = run(live, str(python), str(HERE / "agents_sdk.py"))
    assert "[1]" in printed["first"]
    assert printed["deltas"] == printed["second"]
    assert any("서류" in title for title in printed["cited"])


def test_vercel_ai_sdk(live: Live) -> None:
    if shutil.which("node") is None or not (NODE / "node_modules" / "ai").exists():
        pytest.skip("NOT TESTED with the Vercel AI SDK: it needs node, then `make clients`")
    # An ES module finds its packages beside itself.
    program = NODE / "vercel.mjs"
    shutil.copy(HERE / "vercel.mjs", program)
    printed = run(live, "node", str(program), cwd=NODE)
    assert "[1]" in printed["first"]
    assert printed["chat"] == printed["first"]
    assert printed["sources"][0]["sourceType"] == "url"
    faq = httpx.get(printed["sources"][0]["url"]).json()
    assert faq["question"] == printed["sources"][0]["title"]
    assert printed["deltas"] == printed["second"]
    assert any("서류" in title for title in printed["cited"])
    assert printed["chatSources"]
    assert printed["usage"] >= 0
