"""Asking on the page: streaming, citations, follow-ups, keys, limits, choice of provider."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import NewPage, finish, send, until
from tests.browser.scripted_server import ScriptedServer
from tests.browser.scripts import LONG, SHORT, SUGGESTIONS

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

WATCH_LIVE = """() => { window.spoken = []; const live = document.getElementById('live');
  new MutationObserver(() => { if (live.textContent) spoken.push(live.textContent); })
    .observe(live, {childList: true, characterData: true, subtree: true}); }"""
WATCH_SHIFT = """() => { window.shift = 0;
  new PerformanceObserver(list => {
    for (const e of list.getEntries()) shift += e.hadRecentInput ? 0 : e.value; })
    .observe({type: 'layout-shift', buffered: false}); }"""


def text_length(page: Page) -> int:
    return len(page.inner_text(".turn:last-child .body"))


def test_answer_streams_and_is_read_out_once(page: Page) -> None:
    page.evaluate(WATCH_LIVE)
    send(page, "자세히 알려 주세요")
    until(page, "document.querySelector('.body').innerText.length > 20")
    early = text_length(page)
    assert page.get_attribute(".turn", "aria-busy") == "true"
    until(page, f"document.querySelector('.body').innerText.length > {early + 40}")
    answer = finish(page)
    assert "만 14세 미만은 보호자가 동의해도" in answer
    assert page.inner_text(".bubble") == "자세히 알려 주세요"
    assert "오" in page.inner_text(".ask time")
    until(page, "spoken.length > 0")
    spoken = page.evaluate("spoken")
    assert len(spoken) == 1
    assert "[1]" not in spoken[0]
    assert "이어서 물어볼 질문이 3개" in spoken[0]


def test_stream_moves_nothing_already_on_screen(page: Page) -> None:
    send(page, "자세히 알려 주세요")
    page.wait_for_timeout(700)  # the pinning scroll belongs to the key press
    page.evaluate(WATCH_SHIFT)
    finish(page)
    page.wait_for_selector(".follow")
    assert page.evaluate("shift") < 0.005


def test_answer_shows_steps_bullets_and_notes(page: Page) -> None:
    send(page, "자세히 알려 주세요")
    finish(page)
    assert page.locator(".body ol > li .item-mark").all_inner_texts() == ["1)", "2)", "3)", "4)"]
    assert page.locator(".body ul > li").count() == 3
    assert page.locator(".body .note").count() == 2
    # Two lines in a row cite the same: they say so once.
    assert page.locator(".body .cite").count() == LONG.count("[1]") + LONG.count("[2]") - 1


def test_citation_opens_the_whole_faq_in_place(page: Page) -> None:
    send(page, "자세히 알려 주세요")
    finish(page)
    assert page.inner_text(".tools-row .chip >> nth=0") == "출처 2개"
    page.locator(".cite", has_text="2").first.click()
    panel = page.locator(".source[open]")
    panel.locator(".rich").wait_for()
    assert "서류가 필요한가요" in panel.locator("summary").inner_text()
    assert "<script>alert(1)</script>" in panel.inner_text()
    assert "관련 도움말" in panel.inner_text()
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"


def test_markup_in_an_answer_stays_text(page: Page) -> None:
    send(page, "마크업을 보여 주세요")
    answer = finish(page)
    assert "<img src=x onerror=alert(1)>" in answer
    assert "<b>끝</b>" in answer
    assert "[7]" in answer
    assert page.locator(".body img, .body b").count() == 0
    assert page.inner_text(".body strong") == "굵게"
    assert page.get_attribute(".body a", "href") == "https://example.com/a?b=1"


def test_follow_up_shows_its_offer_and_sends_its_question(page: Page, scripted: ScriptedServer) -> None:
    send(page, "자세히 알려 주세요")
    finish(page)
    assert page.locator(".follow").all_inner_texts() == [each["text"] for each in SUGGESTIONS]
    page.locator(".follow").nth(1).click()
    page.wait_for_selector(".turn:nth-child(2)")
    finish(page)
    session = next(iter(scripted.turns.values())).session_id
    assert scripted.asked[1] == {"question": SUGGESTIONS[1]["question"], "session_id": session}
    assert page.locator(".turn:first-child .follow").first.is_hidden()


def test_refusal_shows_no_sources_but_follow_ups(page: Page) -> None:
    send(page, "오늘 저녁 맛집을 알려 주세요")
    assert (
        finish(page) == "저는 스마트 스토어 FAQ를 위한 챗봇입니다. 스마트 스토어에 대한 질문을 부탁드립니다."
    )
    assert page.locator(".follow").count() == 2
    assert page.locator(".sources li").count() == 0


def test_rewritten_question_is_shown_with_the_sources(page: Page) -> None:
    send(page, "그럼 서류는요?")
    finish(page)
    page.locator(".tools-row .chip").first.click()
    assert "미성년 판매자의 가입 서류는 무엇인가요?" in page.inner_text(".understood")


def test_enter_that_ends_a_composition_does_not_send(page: Page, scripted: ScriptedServer) -> None:
    page.focus("#question")
    ime = page.context.new_cdp_session(page)
    ime.send("Input.imeSetComposition", {"text": "정산", "selectionStart": 2, "selectionEnd": 2})
    page.keyboard.press("Enter")
    page.evaluate("""document.getElementById('question').dispatchEvent(
        new KeyboardEvent('keydown', {key: 'Enter', keyCode: 229, bubbles: true, cancelable: true}))""")
    page.wait_for_timeout(150)
    assert scripted.asked == []
    ime.send("Input.insertText", {"text": "정산"})
    page.keyboard.press("Enter")
    finish(page)
    assert [body["question"] for body in scripted.asked] == ["정산"]


def test_shift_enter_breaks_the_line(page: Page, scripted: ScriptedServer) -> None:
    page.fill("#question", "첫 줄")
    page.press("#question", "Shift+Enter")
    page.keyboard.type("둘째 줄")
    assert page.input_value("#question") == "첫 줄\n둘째 줄"
    assert scripted.asked == []


@pytest.mark.parametrize("question", ["", "  \n ", "가" * 2001])
def test_question_the_server_would_refuse_is_not_sent(
    page: Page, scripted: ScriptedServer, question: str
) -> None:
    page.fill("#question", question)
    assert page.get_attribute("#send", "aria-disabled") == "true"
    page.press("#question", "Enter")
    page.click("#send", force=True)
    page.wait_for_timeout(100)
    assert scripted.asked == []
    assert page.input_value("#question") == question


def test_counter_appears_near_the_limit(page: Page) -> None:
    page.fill("#question", "가" * 1799)
    assert page.inner_text("#counter") == ""
    page.fill("#question", "😀" * 2000)
    assert page.inner_text("#counter") == "2,000 / 2,000자"
    assert page.get_attribute("#send", "aria-disabled") == "false"
    page.fill("#question", "가" * 2001)
    assert "줄여 주세요" in page.inner_text("#counter")


def test_single_provider_is_no_choice(page: Page, scripted: ScriptedServer) -> None:
    assert page.locator("#provider").is_hidden()
    send(page, "정산은 언제 되나요?")
    finish(page)
    assert "provider" not in scripted.asked[0]


def test_provider_that_does_not_answer_cannot_be_chosen(new_page: NewPage, scripted: ScriptedServer) -> None:
    scripted.providers.append({"name": "vllm", "model": "faq-current", "healthy": False})
    assert new_page(scripted.url).locator("#provider").is_hidden()
    scripted.providers.append({"name": "openai", "model": "gpt-4o-mini", "healthy": True})
    page = new_page(scripted.url)
    disabled = page.locator("#provider option[disabled]")
    assert disabled.all_text_contents() == ["vllm · faq-current (응답 없음)"]
    assert page.input_value("#provider") == "extractive"


def test_provider_switches_within_one_session(new_page: NewPage, scripted: ScriptedServer) -> None:
    scripted.providers.append({"name": "openai", "model": "gpt-4o-mini", "healthy": True})
    page = new_page(scripted.url)
    send(page, "정산은 언제 되나요?")
    finish(page)
    page.select_option("#provider", label="openai · gpt-4o-mini")
    send(page, "정산 주기를 바꿀 수 있나요?")
    page.wait_for_selector(".turn:nth-child(2)")
    finish(page)
    assert [body["provider"] for body in scripted.asked] == ["extractive", "openai"]
    assert scripted.asked[1]["session_id"] == scripted.turns["turn-1"].session_id
    assert page.locator(".model").all_inner_texts() == ["extractive", "openai"]
    page.reload()
    page.wait_for_selector(".turn:nth-child(2)")
    assert page.input_value("#provider") == "openai"


def test_switch_in_mid_answer_voids_the_text_so_far(page: Page) -> None:
    send(page, "모델 전환을 보여 주세요")
    until(page, "document.querySelector('.body').innerText.includes('지워져야')")
    answer = finish(page)
    assert "지워져야" not in answer
    assert answer.startswith("정산 대금은 구매 확정 다음 영업일에 들어와요.")


def test_copy_gives_the_answer_without_citations(new_page: NewPage, scripted: ScriptedServer) -> None:
    page = new_page(scripted.url, permissions=["clipboard-read", "clipboard-write"])
    send(page, "정산은 언제 되나요?")
    finish(page)
    page.click("[aria-label='답변 복사']")
    page.wait_for_selector(".chip.ok")
    assert page.evaluate("navigator.clipboard.readText()") == SHORT.replace("[1]", "")


def test_example_asks_and_new_conversation_starts_over(page: Page, scripted: ScriptedServer) -> None:
    assert page.locator(".example").count() == 4
    page.locator(".example").first.click()
    finish(page)
    page.click("#new")
    assert page.locator(".turn").count() == 0
    assert page.locator("#empty").is_visible()
    send(page, "정산은 언제 되나요?")
    finish(page)
    assert "session_id" not in scripted.asked[1]


def test_keyboard_alone_reaches_sources_and_follow_ups(page: Page, scripted: ScriptedServer) -> None:
    send(page, "자세히 알려 주세요")
    finish(page)
    for _ in range(40):
        page.keyboard.press("Shift+Tab")
        if page.evaluate("document.activeElement.className") == "skip":
            break
    assert page.inner_text(":focus") == "질문 입력으로 건너뛰기"
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.className") == "cite":
            break
    page.keyboard.press("Enter")
    page.wait_for_selector(".source[open] .rich")
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.className") == "follow":
            break
    page.keyboard.press("Enter")
    page.wait_for_selector(".turn:nth-child(2)")
    assert scripted.asked[1]["question"] == SUGGESTIONS[0]["question"]
    assert page.evaluate("document.activeElement.id") == "question"
