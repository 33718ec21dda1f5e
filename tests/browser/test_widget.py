"""The widget in Chromium, on a page of another origin whose policy allows little."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.api.conftest import data_dir as data_dir  # the built sample
from tests.api.live import Live, serve
from tests.api.providers.upstream import MODEL, upstream_in_thread
from tests.browser.conftest import until
from tests.browser.test_page_looks import violations

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser
MINORS = "미성년자도 판매 회원 등록이 가능한가요?"
PIECES = (
    "**보호자**가 동의하면 ",
    "가입할 수 있어요. [1]\n",
    *[f"- {n}번째를 천천히 씁니다. [1]\n" for n in range(40)],
)
MOST_BYTES = 25_000


class Shop(ThreadingHTTPServer):
    """Pages of a shop that embed the widget under a strict policy."""

    faq = ""
    attributes = 'data-lang="ko"'

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Page(BaseHTTPRequestHandler):
    server: Shop

    def do_GET(self) -> None:
        faq = self.server.faq
        body = (
            f'<!doctype html><html lang="ko"><head><title>가게</title></head><body><main><h1>가게</h1>'
            f'<a id="next" href="/second">다음</a></main>'
            f'<script src="{faq}/widget.js" {self.server.attributes} async></script></body></html>'
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        policy = f"default-src 'none'; script-src {faq}; connect-src {faq}; base-uri 'none'"
        self.send_header("Content-Security-Policy", policy)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def shops() -> Iterator[tuple[Shop, Shop]]:
    """A shop that is listed, and one that is not."""
    servers = Shop(("127.0.0.1", 0), _Page), Shop(("127.0.0.1", 0), _Page)
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield servers
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def public(data_dir: Path, shops: tuple[Shop, Shop]) -> Iterator[Live]:
    """A public server for one shop, whose LLM writes slowly."""
    with upstream_in_thread(pieces=PIECES, piece_s=0.05) as behind:
        name = "SMARTSTORE_PROVIDERS__ENDPOINTS__SLOW__"
        settings = {
            "SMARTSTORE_PUBLIC__ENABLED": "true",
            "SMARTSTORE_PUBLIC__PER_MINUTE": "1000",
            "SMARTSTORE_SERVER__ORIGINS": f'["{shops[0].url}"]',
            "SMARTSTORE_PAGE__NAME": "가게 도우미",
            "SMARTSTORE_PROVIDERS__DEFAULT": "slow",
            f"{name}BASE_URL": behind.url(),
            f"{name}MODEL": MODEL,
            f"{name}THIRD_PARTY": "false",
        }
        with serve(data_dir, **settings) as server:
            for shop in shops:
                shop.faq = server.url
            yield server


@pytest.fixture
def page(chromium: Browser, public: Live, shops: tuple[Shop, Shop]) -> Iterator[Page]:
    """The listed shop's page; nothing on it may err or be refused by its policy."""
    context = chromium.new_context(locale="ko-KR", viewport={"width": 1100, "height": 760})
    context.set_default_timeout(60_000)
    opened, faults = context.new_page(), []
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("console", lambda m: faults.append(m.text) if m.type == "error" else None)
    opened.goto(shops[0].url)
    yield opened
    context.close()
    assert faults == []


def ask(page: Page, question: str = MINORS) -> None:
    page.click(".launch")
    page.fill("#q", question)
    page.press("#q", "Enter")


def test_it_is_small(public: Live) -> None:
    response = httpx.get(f"{public.url}/widget.js", headers={"Accept-Encoding": "gzip"})
    size = int(response.headers["content-length"])
    print(f"\nwidget.js: {size:,} bytes compressed, {len(response.content):,} plain")
    assert response.headers["content-encoding"] == "gzip"
    assert len(gzip.compress(response.content, 9)) <= MOST_BYTES
    assert size <= MOST_BYTES


def test_it_streams_an_answer_with_sources_and_takes_an_opinion(page: Page) -> None:
    ask(page)
    page.wait_for_selector(".reply .cite")
    early = page.inner_text(".reply >> nth=1")
    page.wait_for_selector(".rate")
    whole = page.inner_text(".reply >> nth=1")
    assert len(early) < len(whole)
    assert page.inner_text(".reply strong") == "보호자"
    assert page.locator(".reply li").count() == 40
    assert page.locator(".reply .cite").count() == 1, "lines that cite the same say so once"
    page.locator(".reply .cite").first.click()
    faq = "document.querySelector('smartstore-widget').shadowRoot.querySelector('details[open] .faq')"
    until(page, f"({faq}?.textContent.length ?? 0) > 20")
    page.get_by_label("도움이 됐어요").click()
    page.wait_for_selector('.rate [aria-pressed="true"]')
    page.locator(".offers button").first.click()
    page.wait_for_selector(".said >> nth=1")


def test_it_goes_on_after_a_navigation(page: Page) -> None:
    ask(page)
    page.wait_for_selector(".reply .cite")
    page.click("#next", force=True)
    page.wait_for_url("**/second")
    page.wait_for_selector(".rate")
    assert (
        page.locator(".said").all_inner_texts() == [f"질문: {MINORS}"] or page.locator(".said").count() == 1
    )
    assert page.locator(".reply li").count() == 40
    page.reload()
    page.wait_for_selector(".rate")
    assert page.locator(".said").count() == 1


def test_it_is_used_by_keyboard_alone(page: Page) -> None:
    page.wait_for_selector(".launch")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.type("고맙습니다")
    page.keyboard.press("Enter")
    page.wait_for_selector(".said")
    page.keyboard.press("Escape")
    assert page.locator(".panel").is_hidden()
    focused = "document.querySelector('smartstore-widget').shadowRoot.activeElement.className"
    assert page.evaluate(focused) == "launch"


def test_its_looks_are_set_by_attributes(page: Page, shops: tuple[Shop, Shop]) -> None:
    shops[0].attributes = 'data-lang="en" data-color="#ffd400" data-position="left" data-title="Ask us"'
    try:
        page.reload()
        page.click(".launch")
        assert page.inner_text("h2") == "Ask us"
        assert page.get_attribute("#q", "placeholder") == "Ask a question"
        styles = (
            "getComputedStyle(document.querySelector('smartstore-widget').shadowRoot.querySelector('{}')).{}"
        )
        assert page.evaluate(styles.format(".launch", "backgroundColor")) == "rgb(255, 212, 0)"
        assert page.evaluate(styles.format("header", "color")) == "rgb(0, 0, 0)"
        assert page.evaluate(styles.format(".root", "left")) == "16px"
    finally:
        shops[0].attributes = 'data-lang="ko"'


def test_its_name_comes_from_the_settings(page: Page) -> None:
    page.click(".launch")
    assert page.inner_text("h2") == "가게 도우미"


def test_it_stays_away_from_a_page_that_is_not_listed(
    chromium: Browser, public: Live, shops: tuple[Shop, Shop]
) -> None:
    context = chromium.new_context()
    opened = context.new_page()
    with opened.expect_console_message(lambda message: "smartstore widget" in message.text) as told:
        opened.goto(shops[1].url)
    assert shops[1].url in told.value.text
    assert opened.locator("smartstore-widget").count() == 0
    context.close()


def test_axe_finds_nothing(chromium: Browser, public: Live, shops: tuple[Shop, Shop], axe: str) -> None:
    context = chromium.new_context(locale="ko-KR", bypass_csp=True)
    opened = context.new_page()
    opened.goto(shops[0].url)
    opened.click(".launch")
    opened.fill("#q", MINORS)
    opened.press("#q", "Enter")
    opened.wait_for_selector(".rate")
    found = violations(opened, axe)
    context.close()
    assert found == []
