"""Chromium, the scripted server and a guard on every page: no foreign request, no script error.

Knows the page only by its address. Skips, loudly, where Chromium or playwright is missing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.scripted_server import ScriptedServer

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

AXE = "axe-core@4.14.1"
CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
DESKTOP = {"viewport": {"width": 1280, "height": 820}}
NewPage = Callable[..., "Page"]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser per test module: playwright keeps an event loop that other modules must not meet."""
    api = pytest.importorskip("playwright.sync_api", reason="the page's tests need: pip install playwright")
    if CHROMIUM is None:
        pytest.skip("the page's tests need Chromium: apt-get install chromium")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def scripted() -> Iterator[ScriptedServer]:
    """A fresh scripted server."""
    with ScriptedServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def new_page(chromium: Browser) -> Iterator[NewPage]:
    """Opens pages in contexts of their own; at the end, none may have erred or left its origin."""
    contexts, faults = [], []

    def open_page(url: str, *, wait_for: str | None = ".example", **options: Any) -> Page:
        context = chromium.new_context(locale="ko-KR", timezone_id="Asia/Seoul", **{**DESKTOP, **options})
        context.set_default_timeout(60_000)
        page = context.new_page()
        page.on("request", lambda r: None if r.url.startswith((url, "data:")) else faults.append(r.url))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda m: faults.append(m.text) if "Content Security" in m.text else None)
        page.goto(url)
        if wait_for is not None:
            page.wait_for_selector(wait_for)
        contexts.append(context)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


@pytest.fixture
def page(new_page: NewPage, scripted: ScriptedServer) -> Page:
    """The page on a desktop, against the scripted server."""
    return new_page(scripted.url)


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core, fetched once per machine with npm."""
    folder = Path(tempfile.gettempdir()) / f"smartstore-{AXE}"
    script = folder / "axe.min.js"
    if not script.exists():
        if shutil.which("npm") is None:
            pytest.skip("the accessibility tests need npm, to fetch axe-core")
        folder.mkdir(exist_ok=True)
        run = subprocess.run(["npm", "pack", AXE], cwd=folder, capture_output=True, text=True, timeout=90)
        if run.returncode:
            pytest.skip(f"npm could not fetch {AXE}: {run.stderr[-300:]}")
        with tarfile.open(folder / run.stdout.split()[-1]) as archive:
            source = archive.extractfile("package/axe.min.js")
            assert source is not None
            # Whole or not there: another part of the tests may look at the same moment.
            part = script.with_suffix(f".{os.getpid()}")
            part.write_bytes(source.read())
            part.replace(script)
    return script.read_text(encoding="utf-8")


def send(page: Page, question: str) -> None:
    """Types a question and presses Enter."""
    page.fill("#question", question)
    page.press("#question", "Enter")


def finish(page: Page) -> str:
    """Waits for the last answer to end and returns its text."""
    page.wait_for_selector(".turn:last-child:not([aria-busy])")
    return page.inner_text(".turn:last-child .body")


def until(page: Page, expression: str, *, timeout_s: float = 60) -> None:
    """Waits until the expression is true; playwright's own wait needs `eval`, which the page forbids."""
    end = time.monotonic() + timeout_s
    while not page.evaluate(expression):
        assert time.monotonic() < end, f"never true: {expression}"
        page.wait_for_timeout(30)
