"""What operators, probes and developers ask for beside the chat: HEAD, readiness, the API's reference."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.metadata import version

import httpx
import pytest

from tests.api.live import ROOT, Live


@pytest.mark.parametrize("path", ["/", "/health", "/ready", "/docs"])
def test_head_answers_like_get_without_a_body(client: httpx.Client, path: str) -> None:
    head, get = client.head(path), client.get(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == get.headers["content-type"]


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_reference_loads_nothing_from_another_host(client: httpx.Client, path: str) -> None:
    page = client.get(path)
    assert "script-src 'self'" in page.headers["content-security-policy"]
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(loaded) >= 2
    for url in loaded:
        assert url.startswith("/reference/")
        assert client.get(url).status_code == 200


@pytest.mark.browser
@pytest.mark.parametrize(("path", "shown"), [("/docs", ".opblock"), ("/redoc", ".menu-content")])
def test_reference_is_drawn_under_its_policy(live: Live, path: str, shown: str) -> None:
    api = pytest.importorskip("playwright.sync_api", reason="needs: pip install playwright")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page, foreign, refused = browser.new_page(), [], []
        # What the policy refuses (ReDoc's own logo) is asked for and never answered.
        page.on(
            "response",
            lambda r: None if r.url.startswith((live.url, "data:", "blob:")) else foreign.append(r.url),
        )
        page.on("pageerror", lambda error: refused.append(str(error)))
        page.goto(live.url + path)
        page.wait_for_selector(shown, timeout=60_000)
        browser.close()
    assert foreign == []
    assert refused == []


def test_version_is_printed_without_a_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "api.cli", "--version"], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout.strip()) == (0, version("smartstore-chatbot"))
