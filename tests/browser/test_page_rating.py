"""Thumbs under an answer: kept, changed, taken back, still there after a reload."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import finish, send, until
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
