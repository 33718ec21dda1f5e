"""The operator's loop in Chromium on a real server: asked, found as a gap, answered, audited, undone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.api.live import wait_until
from tests.browser.conftest import DESKTOP, PHONE, NewPage, finish, send
from tests.browser.test_page_looks import violations
from tests.browser.test_page_real import real, sample

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser
__all__ = ["real", "sample"]

ASKED = ("드론으로 배송해도 되나요?", "드론 배송도 가능한가요?", "무인 드론으로 배송할 수 있나요?")
ANSWER = "드론 배송은 아직 지원하지 않습니다. 택배로 보내 주세요."
VIEWS = ("today", "questions", "gaps", "faqs", "faqs/new", "edits", "providers", "adapters", "keys")


def open_view(page: Page, name: str) -> None:
    page.evaluate("name => { location.hash = `#/${name}`; }", name)
    page.wait_for_selector("#view:not([aria-busy]) h1")
    page.wait_for_timeout(100)


def picture(page: Page, name: str) -> None:
    """Kept where the variable names a folder, to be looked at."""
    if folder := os.environ.get("CONSOLE_PICTURES"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def test_unanswered_questions_become_an_answer_and_back(new_page: NewPage, real: str, axe: str) -> None:
    for question in ASKED:
        seller = new_page(real)
        send(seller, question)
        assert ANSWER not in finish(seller)
    console = new_page(real, wait_for=None)
    console.goto(f"{real}console#/gaps")
    gap = console.locator("article.gap", has_text="드론")
    gap.first.wait_for()
    assert gap.count() == 1
    assert "3번" in gap.inner_text()
    picture(console, "gaps")
    assert violations(console, axe) == []

    gap.get_by_role("link", name="새 FAQ 쓰기").click()
    console.wait_for_selector(".editor")
    console.get_by_label("답변", exact=True).fill(ANSWER)
    assert ANSWER in console.inner_text("[aria-label='미리보기']")
    console.get_by_role("button", name="무엇이 달라지나 보기").click()
    console.wait_for_selector("text=이 FAQ의 질문들")
    picture(console, "editor")
    assert violations(console, axe) == []
    console.get_by_role("button", name="FAQ 내보내기").click()
    console.wait_for_selector("text=지금부터 이 답이 나가요")
    console.wait_for_selector("text=처음의 질문, 지금")

    seller = new_page(real)
    send(seller, ASKED[1])
    assert "드론 배송은 아직 지원하지 않습니다" in finish(seller)

    open_view(console, "edits")
    assert "새로 씀" in console.inner_text("tbody")
    assert ANSWER in console.text_content("tbody")
    assert violations(console, axe) == []
    console.get_by_role("button", name="되돌리기").first.click()
    console.wait_for_selector("text=을 되돌렸어요")
    seller = new_page(real)
    send(seller, ASKED[1])
    assert "드론 배송은 아직 지원하지 않습니다" not in finish(seller)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_every_view_is_for_everyone(
    new_page: NewPage, real: str, axe: str, device: dict[str, Any], scheme: str
) -> None:
    seller = new_page(real)
    send(seller, ASKED[0])
    finish(seller)
    seller.click("button[aria-label='아쉬워요']")
    page = new_page(real, wait_for=None, color_scheme=scheme, **device)
    page.goto(f"{real}console")
    for name in VIEWS:
        open_view(page, name)
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        picture(page, f"{name.replace('/', '-')}-{scheme}-{'phone' if device is PHONE else 'desktop'}")
        assert (name, violations(page, axe), wide) == (name, [], 0)
    open_view(page, "questions")
    page.locator("td a").first.click()
    page.wait_for_selector("text=이벤트 모두 보기")
    picture(page, f"question-{scheme}-{'phone' if device is PHONE else 'desktop'}")
    assert violations(page, axe) == []


def test_a_key_is_made_shown_once_and_revoked(new_page: NewPage, real: str, axe: str) -> None:
    page = new_page(real, wait_for=None)
    page.goto(f"{real}console#/keys")
    page.get_by_label("이름").fill("주문 앱")
    page.get_by_label("권한").select_option(label="기록 읽기")
    page.get_by_label("1분에 몇 번").fill("30")
    page.get_by_role("button", name="키 만들기").click()
    secret = page.get_by_label("새 키").input_value()
    assert secret.startswith("ssk_")
    assert "기록 읽기" in page.inner_text("tbody")
    assert violations(page, axe) == []
    picture(page, "keys-made")
    head = {"Authorization": f"Bearer {secret}"}
    assert httpx.get(f"{real}history/turns", headers=head).status_code == 200
    assert httpx.get(f"{real}keys", headers=head).status_code == 403
    page.reload()
    page.wait_for_selector("tbody")
    assert secret not in page.content()
    page.get_by_role("button", name="주문 앱 거두기").click()
    page.get_by_role("button", name="정말 거두기").click()
    page.wait_for_selector("text=주문 앱 키를 거두었어요")
    wait_until(lambda: httpx.get(f"{real}history/turns", headers=head).status_code == 401)
