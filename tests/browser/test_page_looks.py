"""The page for everyone: axe-core, light and dark, phone and desktop, reduced motion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.conftest import DESKTOP, PHONE, NewPage, finish, send, until
from tests.browser.scripted_server import ScriptedServer

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

SMALL = {**PHONE, "viewport": {"width": 320, "height": 568}}
RUN_AXE = """() => axe.run(document, {rules: {'target-size': {enabled: true}}})
  .then(r => r.violations.map(v => v.id + ': ' +
    v.nodes.map(n => n.target + ' ' + n.failureSummary).join(' | ')))"""


def violations(page: Page, axe: str) -> list[str]:
    page.wait_for_timeout(150)
    page.evaluate(axe)
    found: list[str] = page.evaluate(RUN_AXE)
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_axe_finds_no_violation(
    new_page: NewPage, scripted: ScriptedServer, axe: str, device: dict[str, Any], scheme: str
) -> None:
    scripted.providers.append({"name": "openai", "model": "gpt-4o-mini", "healthy": True})
    page = new_page(scripted.url, color_scheme=scheme, **device)
    assert violations(page, axe) == []
    send(page, "자세히 알려 주세요")
    until(page, "document.querySelector('.body').innerText.length > 10")
    assert violations(page, axe) == []
    finish(page)
    page.locator(".cite").first.click()
    page.wait_for_selector(".source[open] .rich")
    assert violations(page, axe) == []
    page.fill("#question", "오류를 보여 주세요")
    page.click("#send")
    page.wait_for_selector(".failure")
    page.fill("#question", "가" * 2001)
    assert violations(page, axe) == []


@pytest.mark.parametrize("device", [SMALL, PHONE, DESKTOP], ids=["small", "phone", "desktop"])
def test_nothing_is_wider_than_the_screen(
    new_page: NewPage, scripted: ScriptedServer, device: dict[str, Any]
) -> None:
    scripted.providers.append(
        {"name": "openai", "model": "아주-긴-이름을-가진-모델-instruct-fp8", "healthy": True}
    )
    page = new_page(scripted.url, **device)
    send(page, "자세히 알려 주세요 " + "https://example.com/" + "a" * 120)
    finish(page)
    page.locator(".cite").first.click()
    page.wait_for_selector(".source[open] .rich")
    wide = """() => [...document.querySelectorAll('body *:not(.sr, .sr *)')]
      .filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.className)"""
    assert page.evaluate(wide) == []
    assert page.evaluate("document.scrollingElement.scrollHeight <= innerHeight")


def test_theme_follows_the_system_until_chosen(new_page: NewPage, scripted: ScriptedServer) -> None:
    page = new_page(scripted.url, color_scheme="dark")
    background = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(background)
    page.click("#theme")
    light = page.evaluate(background)
    assert dark != light
    assert page.get_attribute("#theme", "aria-label") == "어두운 화면으로 바꾸기"
    page.reload()
    assert page.evaluate(background) == light


def test_reduced_motion_stops_every_animation(new_page: NewPage, scripted: ScriptedServer) -> None:
    page = new_page(scripted.url, reduced_motion="reduce")
    send(page, "천천히 알려 주세요")
    until(page, "document.querySelector('.body').innerText.length > 10")
    assert page.evaluate("document.getAnimations().length") == 0


def test_phone_puts_the_keyboard_away_and_the_question_on_top(
    new_page: NewPage, scripted: ScriptedServer
) -> None:
    page = new_page(scripted.url, **PHONE)
    for _ in range(2):
        page.fill("#question", "자세히 알려 주세요")
        page.tap("#send")
        finish(page)
    page.wait_for_timeout(700)
    assert page.evaluate("document.activeElement.className.includes('turn')")
    gap = page.evaluate(
        "document.querySelector('.turn:last-child').getBoundingClientRect().top"
        " - document.getElementById('scroller').getBoundingClientRect().top"
    )
    assert abs(gap) < 2
