"""Thumbs under an answer: kept, changed, taken back, still there after a reload."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import NewPage, finish, send, until
from tests.browser.scripted_server import ScriptedServer

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser


def test_thumbs_are_kept_changed_taken_back_and_restored(page: Page, scripted: ScriptedServer) -> None:
    send(page, "짧게")
    finish(page)
    page.click("button[aria-label='도움이 됐어요']")
    until(page, "document.querySelector(\"[aria-label='도움이 됐어요']\").ariaPressed === 'true'")
    assert scripted.ratings == {"turn-1": {"rating": "up"}}
    page.click("button[aria-label='아쉬워요']")
    page.click("text=내용이 부족해요")
    page.fill(".why input", "표가 없어요")
    page.press(".why input", "Enter")
    page.wait_for_selector("text=고맙습니다. 의견을 남겼어요.")
    assert scripted.ratings == {
        "turn-1": {"rating": "down", "reason": "incomplete", "comment": "표가 없어요"}
    }
    page.reload()
    page.wait_for_selector("button[aria-label='아쉬워요'][aria-pressed='true']")
    page.click("button[aria-label='아쉬워요']")
    page.wait_for_selector("button[aria-label='아쉬워요'][aria-pressed='false']")
    assert scripted.ratings == {}


def test_person_is_offered_where_the_operator_names_one(new_page: NewPage, scripted: ScriptedServer) -> None:
    scripted.page = {"contact_text": "평일 9~18시", "contact_url": "tel:1588-0000", "contact_always": True}
    page = new_page(scripted.url)
    send(page, "짧게")
    finish(page)
    page.wait_for_selector(".contact")
    assert page.inner_text(".contact") == "평일 9~18시 사람에게 문의하기"
    assert page.get_attribute(".contact a", "href") == "tel:1588-0000"
    scripted.page = {
        "contact_url": "javascript:alert(1)",
        "contact_text": "전화 주세요",
        "contact_always": True,
    }
    other = new_page(scripted.url)
    send(other, "짧게")
    finish(other)
    other.wait_for_selector(".contact")
    assert other.locator(".contact a").count() == 0


def test_nobody_is_offered_below_an_answer_unless_asked_for(
    new_page: NewPage, scripted: ScriptedServer
) -> None:
    scripted.page = {"contact_url": "https://help.example"}
    page = new_page(scripted.url)
    with page.expect_response("**/page.json"):
        send(page, "짧게")
    finish(page)
    assert page.locator(".contact").count() == 0
