"""Page and widget hand a conversation to a person, who gets it with the place to answer to."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.channels.test_hand_over import STRANGE, Desk, desk, settings
from tests.api.conftest import data_dir as data_dir  # the built sample
from tests.api.live import Live, serve, wait_until
from tests.browser.conftest import PHONE, NewPage, finish, send
from tests.browser.test_page_looks import violations

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def hook() -> Iterator[Desk]:
    with desk() as server:
        yield server


@pytest.fixture(scope="module")
def server(data_dir: Path, hook: Desk) -> Iterator[Live]:
    with serve(data_dir, **settings(hook)) as live:
        yield live


@pytest.mark.parametrize("options", [{}, PHONE], ids=["desktop", "phone"])
def test_a_seller_hands_the_conversation_over(
    new_page: NewPage, server: Live, hook: Desk, axe: str, options: dict[str, object]
) -> None:
    page = new_page(f"{server.url}/", **options)
    send(page, STRANGE)
    finish(page)
    page.wait_for_selector(".hand-over")
    assert violations(page, axe) == []
    page.get_by_role("button", name="대화 넘기기").click()
    page.wait_for_selector("text=연락받을 곳을 적어 주세요.")
    page.get_by_label("연락받을 곳").fill("seller@shop.example")
    if folder := os.environ.get("PAGE_PICTURES"):
        page.screenshot(path=Path(folder) / f"hand-over-{len(options)}.png")
    before = len(hook.attempts)
    page.get_by_role("button", name="대화 넘기기").click()
    page.wait_for_selector("text=대화를 상담원에게 넘겼어요. 적어 주신 곳으로 연락드릴게요.")
    wait_until(lambda: len(hook.attempts) > before)
    message = json.loads(hook.attempts[-1][1])["data"]
    assert message["contact"] == "seller@shop.example"
    assert "[전화번호]" in message["conversation"][0]["question"]


def test_an_answered_question_offers_no_person(new_page: NewPage, server: Live) -> None:
    page = new_page(f"{server.url}/")
    send(page, "미성년자도 판매 회원 등록이 가능한가요?")
    finish(page)
    page.wait_for_selector(".follow")
    assert page.locator(".hand-over").count() == 0


def test_the_widget_hands_over(new_page: NewPage, server: Live, hook: Desk, axe: str) -> None:
    page = new_page(server.url, wait_for=None)
    # A bare page: the product's own has a header and landmarks besides.
    page.goto(f"{server.url}/ready")
    page.evaluate("document.documentElement.lang = 'ko'; document.title = '가게'")
    page.add_script_tag(url=f"{server.url}/widget.js")
    page.click("smartstore-widget .launch")
    page.fill("smartstore-widget #q", STRANGE)
    page.press("smartstore-widget #q", "Enter")
    page.wait_for_selector("smartstore-widget .pass")
    page.get_by_label("연락받을 전화번호나 이메일").fill("010-0000-0000")
    if folder := os.environ.get("PAGE_PICTURES"):
        page.screenshot(path=Path(folder) / "hand-over-widget.png")
    page.evaluate("document.querySelectorAll('pre, body > div').forEach((each) => each.remove())")
    assert violations(page, axe) == []
    before = len(hook.attempts)
    page.get_by_role("button", name="상담원에게 대화 넘기기").click()
    page.wait_for_selector("text=대화를 상담원에게 넘겼어요.")
    wait_until(lambda: len(hook.attempts) > before)
