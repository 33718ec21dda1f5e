"""A source on the page: what the answer quotes is marked in it, with link and date where the FAQ has them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api.live import ROOT, serve, wait_until
from tests.api.providers.upstream import MODEL, upstream_in_thread
from tests.browser.conftest import NewPage, finish, send, until
from tests.browser.test_page_looks import violations

pytestmark = pytest.mark.browser
# A model's own words for two of the FAQ's sentences; the third is not quoted.
PIECES = ("택배비는 3,000원이고, ", "5만 원 이상을 사시면 무료입니다. [1]",)  # fmt: skip


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server on the bundled workbook, with a model besides."""
    folder = tmp_path_factory.mktemp("shop")
    with upstream_in_thread(pieces=PIECES) as upstream:
        name = "SMARTSTORE_PROVIDERS__ENDPOINTS__MODEL__"
        settings = {
            "SMARTSTORE_CORPUS__FAQ": str(ROOT / "configs/faq/shop.xlsx"),
            "SMARTSTORE_PAGE__PROVIDERS": "true",
            f"{name}BASE_URL": upstream.url(),
            f"{name}MODEL": MODEL,
            f"{name}THIRD_PARTY": "false",
        }
        with serve(folder, "--build", **settings) as server, server.client() as client:
            wait_until(lambda: client.get("/ready").json()["building"] is None, 100)
            yield f"{server.url}/"


def test_a_quoted_sentence_is_marked_with_link_and_date(new_page: NewPage, shop: str, axe: str) -> None:
    page = new_page(shop)
    send(page, "제주도까지 배송비가 얼마나 드나요?")
    answer = finish(page)
    page.locator(".body .cite").first.click()
    page.wait_for_selector(".source[open] mark")
    marked = page.locator(".source[open] mark").all_inner_texts()
    assert marked
    assert all(text in answer for text in marked)
    assert page.get_attribute(".origin a", "href") == "https://shop.example/help/delivery"
    assert page.inner_text(".origin time") == "2026년 3월 2일 수정"
    assert violations(page, axe) == []


def test_a_sentence_in_other_words_is_marked_and_others_are_not(new_page: NewPage, shop: str) -> None:
    page = new_page(shop)
    page.select_option("#provider", "model")
    send(page, "배송비는 얼마인가요?")
    finish(page)
    page.locator(".body .cite").first.click()
    page.wait_for_selector(".source[open] mark")
    assert page.locator(".source[open] mark").all_inner_texts() == ["5만 원 이상 사시면 무료입니다."]


def test_a_source_without_link_and_date_says_nothing_of_them(new_page: NewPage, shop: str) -> None:
    page = new_page(shop)
    send(page, "적립금은 어떻게 쓰나요?")
    finish(page)
    page.locator(".body .cite").first.click()
    until(page, "document.querySelector('.source[open] .rich') !== null")
    assert page.locator(".source[open] mark").count() > 0
    assert page.locator(".origin").count() == 0
