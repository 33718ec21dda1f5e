"""The page's settings, past conversations, Markdown, choices, copying, and a long time without a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import NewPage, finish, send, until
from tests.browser.scripted_server import ScriptedServer
from tests.browser.scripts import SUGGESTIONS
from tests.browser.test_page_looks import violations

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser


def test_markdown_is_shown_and_nothing_in_it_runs(page: Page, axe: str) -> None:
    send(page, "수수료 표를 보여 주세요")
    finish(page)
    assert page.locator(".body th").all_inner_texts() == ["구분", "수수료"]
    assert page.locator(".body td").count() == 4
    assert page.inner_text(".body td strong") == "1.98%"
    assert page.inner_text(".body em") == "참고"
    assert page.inner_text(".body p > code") == "settle"
    assert page.get_attribute(".body a", "href") == "https://help.example/fee"
    assert page.locator(".body a").count() == 1, "only http and https are links"
    assert page.locator(".body pre code").all_inner_texts() == ["<script>alert(1)</script>\n", "a * b * c\n"]
    assert "3*4*5는" in page.inner_text(".body")
    assert violations(page, axe) == []


def test_choices_say_what_they_are(page: Page) -> None:
    send(page, "모호한 질문")
    finish(page)
    assert page.get_by_role("group", name="혹시 이 중에 찾으시는 질문이 있나요?").is_visible()
    page.locator(".follow").first.click()
    until(page, "document.querySelectorAll('.turn').length === 2")
    assert page.inner_text(".turn:last-child .bubble") == SUGGESTIONS[0]["question"]


def test_past_conversations_are_listed_opened_and_deleted(
    page: Page, scripted: ScriptedServer, axe: str
) -> None:
    for question in ("첫 대화", "둘째 대화"):
        send(page, question)
        finish(page)
        page.click("#new")
    page.click("#past")
    assert page.locator(".past-open span").all_inner_texts() == ["둘째 대화", "첫 대화"]
    assert violations(page, axe) == []
    page.locator(".past-open").nth(1).click()
    page.wait_for_selector(".turn .tools-row")
    assert page.inner_text(".bubble") == "첫 대화"
    page.click("#past")
    page.get_by_label("지우기: 첫 대화").click()
    until(page, "document.querySelectorAll('.past-open').length === 1")
    assert ("DELETE", "/sessions/session-1") in scripted.requests
    page.click("#past-close")
    page.wait_for_selector(".example")
    page.reload()
    page.click("#past")
    assert page.locator(".past-open span").all_inner_texts() == ["둘째 대화"]


def test_a_conversation_is_copied_as_text(new_page: NewPage, scripted: ScriptedServer) -> None:
    page = new_page(scripted.url, permissions=["clipboard-read", "clipboard-write"])
    send(page, "수수료 표를 보여 주세요")
    finish(page)
    page.click("#share")
    until(page, "document.getElementById('live').textContent.includes('복사했습니다')")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("Q. 수수료 표를 보여 주세요\n수수료\n")
    assert "도움말 (https://help.example/fee)" in copied
    assert not any(mark in copied for mark in ("**", "##", "[1]", "```"))


def test_the_operators_words_are_shown_where_asked_for(new_page: NewPage, scripted: ScriptedServer) -> None:
    scripted.providers.append({"name": "openai", "model": "gpt-4o-mini", "healthy": True})
    scripted.page = {
        "providers": False,
        "name": "우리상점 도우미",
        "greeting": "무엇이든 물어보세요.",
        "examples": ["예시 하나"],
        "color": "#ffd400",
    }
    page = new_page(scripted.url)
    assert page.locator(".example").all_inner_texts() == ["예시 하나"]
    assert page.title() == page.inner_text("h1") == "우리상점 도우미"
    assert page.inner_text("#greeting") == "무엇이든 물어보세요."
    assert page.locator("#provider-box").is_hidden()
    send(page, "안녕하세요")
    finish(page)
    assert page.locator(".model").is_hidden()
    colours = (
        "['backgroundColor', 'color'].map((name) => getComputedStyle(document.querySelector('.mark'))[name])"
    )
    assert page.evaluate(colours) == ["rgb(255, 212, 0)", "rgb(0, 0, 0)"]


def test_page_says_how_far_the_index_is_until_it_is_there(page: Page, scripted: ScriptedServer) -> None:
    scripted.page = {"building": {"step": "embed", "done": 30, "total": 60, "failed": ""}}
    page.reload()
    said = "검색을 준비하고 있어요(뜻 계산 50%). 지금 물어보셔도 돼요."
    until(page, f"document.getElementById('building').textContent === '{said}'")
    scripted.page = {"building": None}
    until(page, "document.getElementById('building').hidden")
