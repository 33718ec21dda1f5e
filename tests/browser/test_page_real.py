"""The page against a real `smartstore serve` on part of the bundled sample.

The extractive answer is over in milliseconds; what needs a long one goes through a slow real endpoint.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.api.live import ROOT, serve, smartstore
from tests.api.providers.upstream import MODEL, upstream_in_thread
from tests.browser.conftest import DESKTOP, PHONE, NewPage, finish, send, until
from tests.browser.cuttable import CuttableProxy
from tests.browser.test_page_looks import violations

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

FAQS = 12
MINOR = "미성년자도 판매 회원이 될 수 있나요?"
PIECES = (
    "보호자가 동의하면 ",
    "가입할 수 있어요. [1]\n",
    "1) 서류를 ",
    "준비합니다. ",
    "[1]\n",
    *[f"※ 참고. {n}번째를 천천히 씁니다. [1]\n" for n in range(20)],
)
REFUSAL = "저는 스마트 스토어 FAQ를 위한 챗봇입니다. 스마트 스토어에 대한 질문을 부탁드립니다."


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A data folder with the index of the sample's first entries, and the settings that go with it."""
    folder = tmp_path_factory.mktemp("page")
    lines = (ROOT / "configs/faq/sample.jsonl").read_text(encoding="utf-8").splitlines()[:FAQS]
    (folder / "faq.jsonl").write_text("\n".join(lines), encoding="utf-8")
    settings = {"SMARTSTORE_CORPUS__FAQ": str(folder / "faq.jsonl")}
    done = smartstore(folder, "index", "build", **settings)
    assert done.returncode == 0, done.stderr
    return folder, settings


@pytest.fixture(scope="module")
def real(sample: tuple[Path, dict[str, str]]) -> Iterator[str]:
    """The address of a server that answers with the FAQ's own sentences."""
    folder, settings = sample
    with serve(folder, **settings) as server:
        yield f"{server.url}/"


@pytest.fixture(scope="module")
def slow(sample: tuple[Path, dict[str, str]]) -> Iterator[str]:
    """The address of a server whose endpoint writes a piece every fifth of a second."""
    folder, settings = sample
    copy = folder / "slow"
    shutil.copytree(folder / "index", copy / "index")
    with upstream_in_thread(piece_s=0.2, pieces=PIECES) as upstream:
        endpoint = {"base_url": upstream.url(), "model": MODEL, "third_party": False}
        more = {
            "SMARTSTORE_PROVIDERS__ENDPOINTS": json.dumps({"slow": endpoint}),
            "SMARTSTORE_PROVIDERS__DEFAULT": "slow",
        }
        with serve(copy, **settings, **more) as server:
            yield f"{server.url}/"


def test_seller_asks_reads_the_source_and_goes_on(new_page: NewPage, real: str) -> None:
    page = new_page(real)
    send(page, MINOR)
    finish(page)
    page.wait_for_selector(".follow")
    page.locator(".body .cite").first.click()
    page.wait_for_selector(".source[open] .rich")
    assert "미성년자" in page.inner_text(".source[open] summary")
    offer = page.locator(".follow").first
    offer.click()
    page.wait_for_selector(".turn:nth-child(2)")
    finish(page)
    asked = page.inner_text(".turn:nth-child(2) .bubble")
    page.locator(".turn:nth-child(2) .tools-row .chip").first.click()
    assert asked in page.inner_text(".turn:nth-child(2) .source >> nth=0")
    send(page, "오늘 저녁에 먹을 만한 맛집을 추천해 줘")
    page.wait_for_selector(".turn:nth-child(3)")
    assert finish(page) == REFUSAL
    page.reload()
    page.wait_for_selector(".turn:nth-child(3)")
    assert page.locator(".bubble").all_inner_texts()[:2] == [MINOR, asked]
    assert page.locator(".turn:nth-child(1) .cite").count() > 0


def test_real_stream_grows_and_stops(new_page: NewPage, slow: str) -> None:
    page = new_page(slow)
    send(page, MINOR)
    until(page, "document.querySelector('.body').innerText.includes('준비합니다')")
    notes = page.locator(".body .note").count()
    until(page, f"document.querySelectorAll('.body .note').length > {notes}")
    page.keyboard.press("Escape")
    finish(page)
    assert page.inner_text(".status") == "멈춘 답변"
    assert 0 < page.locator(".body .note").count() < 19


def test_real_answer_goes_on_after_a_reload(new_page: NewPage, slow: str) -> None:
    page = new_page(slow)
    send(page, MINOR)
    until(page, "document.querySelector('.body').innerText.includes('준비합니다')")
    page.reload()
    until(page, "document.querySelector('.turn[aria-busy] .body')?.innerText.includes('준비합니다')")
    finish(page)
    assert page.locator(".turn").count() == 1
    assert page.locator(".body .note").count() == 20


def test_real_answer_goes_on_after_a_lost_network(new_page: NewPage, slow: str) -> None:
    with CuttableProxy(slow) as line:
        page = new_page(line.url)
        send(page, "미성년자도 판매자로 가입할 수 있나요?")  # a repeated question comes whole, out of a cache
        until(page, "document.querySelector('.body').innerText.includes('준비합니다')")
        line.cut()
        page.wait_for_selector(".status:has-text('다시 잇고')")
        line.mend()
        finish(page)
        assert page.locator(".body .note").count() == 20


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_axe_finds_no_violation_in_a_real_answer(
    new_page: NewPage, real: str, axe: str, device: dict[str, Any], scheme: str
) -> None:
    page: Page = new_page(real, color_scheme=scheme, **device)
    send(page, MINOR)
    finish(page)
    page.wait_for_selector(".follow")
    page.locator(".tools-row .chip").first.click()
    page.locator(".source summary").first.click()
    page.wait_for_selector(".source[open] .rich")
    assert violations(page, axe) == []
