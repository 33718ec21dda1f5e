"""The page when things break: stop, reload, lost connection, errors, refused requests, keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import NewPage, finish, send, until
from tests.browser.cuttable import CuttableProxy
from tests.browser.scripted_server import ScriptedServer
from tests.browser.scripts import LONG

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

LAST_LINE = "만 14세 미만은 보호자가 동의해도 가입할 수 없습니다."
STARTED = "document.querySelector('.body')?.innerText.length > 10"


@pytest.mark.parametrize("how", ["button", "escape"])
def test_stop_keeps_what_was_written(page: Page, scripted: ScriptedServer, how: str) -> None:
    send(page, "천천히 알려 주세요")
    until(page, STARTED)
    assert page.get_attribute("#send", "aria-label") == "멈추기"
    if how == "button":
        page.click("#send")
    else:
        page.keyboard.press("Escape")
    answer = finish(page)
    assert ("DELETE", "/chat/turns/turn-1") in scripted.requests
    assert 10 < len(answer) < len(LONG) / 2
    assert page.inner_text(".status") == "멈춘 답변"
    assert page.get_attribute("#send", "aria-label") == "보내기"


def test_an_answer_with_unusual_line_breaks_is_read_and_a_cut_one_says_so(page: Page) -> None:
    send(page, "끊긴 답변")
    answer = finish(page)
    assert "첫 줄" in answer
    assert "셋째" in answer
    assert page.inner_text(".status") == "끝까지 오지 못하고 끊긴 답변"
    until(
        page, "document.querySelector('#live').textContent.startsWith('끝까지 오지 못하고 끊긴 답변: 첫 줄')"
    )


def test_enter_does_not_stop_or_send_while_an_answer_runs(page: Page, scripted: ScriptedServer) -> None:
    send(page, "천천히 알려 주세요")
    until(page, STARTED)
    send(page, "다음 질문")
    assert page.input_value("#question") == "다음 질문"
    assert len(scripted.asked) == 1
    assert not scripted.turns["turn-1"].stop.is_set()


def test_reload_in_mid_answer_resumes_the_turn(page: Page, scripted: ScriptedServer) -> None:
    send(page, "정산은 언제 되나요?")
    finish(page)
    send(page, "자세히 알려 주세요")
    until(page, "document.querySelectorAll('.turn').length == 2")
    until(page, "document.querySelectorAll('.body')[1].innerText.length > 10")
    page.reload()
    page.wait_for_selector(".turn:nth-child(2)[aria-busy]")
    assert LAST_LINE in finish(page)
    assert page.locator(".bubble").all_inner_texts() == ["정산은 언제 되나요?", "자세히 알려 주세요"]
    assert len(scripted.turns) == 2
    assert page.locator(".turn:last-child .follow").count() == 3
    page.reload()
    page.wait_for_selector(".turn:nth-child(2)")
    assert LAST_LINE in finish(page)
    assert page.locator(".turn").count() == 2


def test_reload_before_the_first_event_finds_the_same_turn(page: Page, scripted: ScriptedServer) -> None:
    scripted.key_delay = 1.0
    send(page, "정산은 언제 되나요?")
    page.wait_for_timeout(200)
    page.reload()
    assert "구매 확정" in finish(page)
    assert len(scripted.asked) == 2
    assert len(scripted.turns) == 1


def test_broken_connection_resumes_after_the_last_event(page: Page, scripted: ScriptedServer) -> None:
    send(page, "끊기게 알려 주세요")
    answer = finish(page)
    assert scripted.resumed == ["6", "12"]
    assert len(scripted.turns) == 1
    assert answer.count("판매자 가입 화면에서") == 1
    assert LAST_LINE in answer


def test_network_that_comes_back_resumes(new_page: NewPage, scripted: ScriptedServer) -> None:
    with CuttableProxy(scripted.url) as line:
        page = new_page(line.url)
        send(page, "천천히 알려 주세요")
        until(page, STARTED)
        line.cut()
        page.wait_for_selector(".status:has-text('다시 잇고')")
        page.wait_for_timeout(1000)
        line.mend()
        until(page, "document.querySelector('.body').innerText.length > 60")
        page.keyboard.press("Escape")
        finish(page)
    assert line.refused > 0
    assert len(scripted.resumed) == 1
    assert page.locator(".failure").count() == 0


def test_error_event_offers_another_try(page: Page, scripted: ScriptedServer) -> None:
    send(page, "오류를 보여 주세요")
    page.wait_for_selector(".failure")
    assert "답변이 늦어 멈췄습니다" in page.inner_text(".failure")
    page.click(".failure button")
    until(page, "document.querySelectorAll('.turn').length == 1")
    page.wait_for_selector(".failure")
    assert len(scripted.asked) == 2


def test_refused_request_is_readable(page: Page, scripted: ScriptedServer) -> None:
    send(page, "거절해 주세요")
    page.wait_for_selector(".failure")
    assert page.inner_text(".failure p") == "질문이 비어 있습니다."
    assert page.locator(".failure button").count() == 0
    send(page, "바쁨")
    page.wait_for_selector(".turn:nth-child(2) .failure")
    assert "10초 뒤에" in page.inner_text(".turn:nth-child(2) .failure")
    assert page.locator(".failure button").count() == 1
    assert len(scripted.asked) == 2


def test_failed_turn_is_shown_after_a_reload(page: Page) -> None:
    send(page, "오류를 보여 주세요")
    page.wait_for_selector(".failure")
    page.reload()
    page.wait_for_selector(".failure")
    assert page.locator(".turn").count() == 1


def test_session_the_server_forgot_starts_over(page: Page, scripted: ScriptedServer) -> None:
    send(page, "정산은 언제 되나요?")
    finish(page)
    scripted.turns.clear()
    page.reload()
    page.wait_for_selector(".example")
    assert page.locator(".turn").count() == 0


def test_missing_key_is_asked_for_and_used(page: Page, scripted: ScriptedServer) -> None:
    scripted.api_key = "비밀-아님".encode().hex()
    send(page, "정산은 언제 되나요?")
    page.fill("#key", scripted.api_key)
    page.keyboard.press("Enter")
    page.wait_for_selector(".follow")
    assert "구매 확정" in finish(page)
    assert len(scripted.asked) == 1


def test_offline_is_said_after_a_while_and_the_answer_goes_on(page: Page, scripted: ScriptedServer) -> None:
    send(page, "끊기게 알려 주세요")
    until(page, STARTED)
    page.context.set_offline(True)
    until(page, "document.querySelector('.status').textContent === '연결이 끊겨 다시 잇고 있어요'")
    until(page, "document.querySelector('.status').textContent.startsWith('지금은 오프라인이에요')")
    page.context.set_offline(False)
    assert LAST_LINE in finish(page)
    assert len(scripted.asked) == 1
