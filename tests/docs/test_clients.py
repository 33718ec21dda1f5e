"""Each snippet of docs/clients.md, run as it stands against a real server."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest

import api.web.openai.requests  # its errors are in the table, too
from api.access.readers import Interrupted
from api.errors import ApiError
from tests.api.conftest import data_dir as data_dir
from tests.api.live import ROOT, Live, serve, smartstore

PAGE = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
SERVER = "http://127.0.0.1:8000"
CLIENTS = ROOT / "var" / "clients"
_BLOCK = re.compile(r"(?:<!-- environment: (\w+) -->\n)?```(\w+)\n(.*?)```", re.DOTALL)
BLOCKS = [(match[1] or "", match[2], match[3]) for match in _BLOCK.finditer(PAGE)]
RUN = [block for block in BLOCKS if block[1] in ("bash", "python", "js")]
assert api.web.openai.requests


@pytest.fixture(scope="module")
def live(data_dir: Path) -> Iterator[Live]:
    with serve(data_dir) as server:
        yield server


def command(environment_: str, language: str, program: Path) -> list[str]:
    """How a snippet is run; skips where its client is not installed."""
    if environment_ == "llm" and not (CLIENTS / "python" / "bin" / "llm").exists():
        pytest.skip("NOT TESTED with llm: run `make clients`")
    if language == "bash":
        return ["bash", "-e", str(program)]
    if environment_ == "agents":
        python = CLIENTS / "python" / "bin" / "python"
        if not python.exists():
            pytest.skip("NOT TESTED with the OpenAI Agents SDK: run `make clients`")
        return [str(python), str(program)]
    if language == "python":
        return [sys.executable, str(program)]
    if shutil.which("node") is None:
        pytest.skip("NOT TESTED in JavaScript: there is no node")
    if environment_ == "vercel" and not (CLIENTS / "node" / "node_modules" / "ai").exists():
        pytest.skip("NOT TESTED with the Vercel AI SDK: run `make clients`")
    return ["node", str(program)]


@pytest.mark.parametrize(
    ("environment_", "language", "text"), RUN, ids=[f"{n}-{b[1]}" for n, b in enumerate(RUN)]
)
def test_snippet_gives_what_it_says(
    live: Live, tmp_path: Path, environment_: str, language: str, text: str
) -> None:
    folder = CLIENTS / "node" if environment_ == "vercel" else tmp_path
    # No header can carry the sign that stands for the rest of a key.
    source = text.replace(SERVER, live.url).replace("ssk_…", "unused")
    program = folder / f"snippet.{'mjs' if language == 'js' else language}"
    run = command(environment_, language, program)
    program.write_text(source, encoding="utf-8")
    env = os.environ | {"OPENAI_BASE_URL": f"{live.url}/v1", "OPENAI_API_KEY": "unused"}
    # `llm` keeps its models and its conversations in a folder of the user's.
    env |= {"LLM_USER_PATH": str(tmp_path), "PATH": f"{CLIENTS / 'python' / 'bin'}:{os.environ['PATH']}"}
    done = subprocess.run(run, env=env, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr[-3000:]
    expected = "relevance_score" if "rerank" in text else "14세"
    if environment_ == "llm":
        assert "법정대리인 동의서" in done.stdout
    assert expected in done.stdout, done.stdout[-2000:]


def test_editors_start_the_command_that_exists() -> None:
    (config,) = [json.loads(text) for _, language, text in BLOCKS if language == "json"]
    server = config["mcpServers"]["smartstore"]
    assert server["command"] == "smartstore"
    done = smartstore(ROOT, *server["args"], "--help")
    assert done.returncode == 0
    assert "MCP" in done.stdout


@pytest.mark.parametrize("text", [text for _, language, text in BLOCKS if language == "sh"])
def test_settings_are_taken(tmp_path: Path, text: str) -> None:
    pairs = dict(word.split("=", 1) for word in shlex.split(text))
    done = smartstore(tmp_path, "settings", **pairs)
    assert done.returncode == 0, done.stderr


def test_the_tag_loads_what_is_there_and_every_attribute_is_read(live: Live) -> None:
    tags: list[dict[str, str | None]] = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            tags.append(dict(attrs))

    (text,) = [text for _, language, text in BLOCKS if language == "html"]
    Tags().feed(text.replace(SERVER, live.url))
    source = tags[0]["src"]
    assert source
    script = httpx.get(source).text
    for name in re.findall(r"`data-(\w+)`", PAGE):
        assert f"dataset.{name}" in script or f"set.{name}" in script, name


def test_the_table_has_every_error() -> None:
    table = {code: int(status) for status, code in re.findall(r"^\| (\d+) \| `(\w+)` \|", PAGE, re.MULTILINE)}
    kinds: list[type[ApiError]] = [*ApiError.__subclasses__(), Interrupted]
    for kind in kinds:
        kinds.extend(each for each in kind.__subclasses__() if each not in kinds)
    told = {kind.code: kind.status for kind in kinds if "code" in vars(kind)}
    shown = {code: status for code, status in told.items() if code in table}
    assert shown == {code: status for code, status in table.items() if code in told}
    assert set(table) <= set(told)
    base = {"unauthorized", "rate_limited", "forbidden", "not_found", "conflict", "invalid_request",
            "unsupported_parameter", "overloaded", "provider_error", "provider_rejected"}  # fmt: skip
    assert base <= set(table)
