"""The console where a model answers, in Chromium: adapters tried, faults seen, drafts written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from serving.registry.pointer import FILE, read_pointer
from tests.api.live import serve, wait_until
from tests.api.providers.upstream import MODEL, Upstream, upstream_in_thread
from tests.browser.conftest import DESKTOP, NewPage, finish, send
from tests.browser.test_console import open_view, picture
from tests.browser.test_page_looks import violations
from tests.browser.test_page_real import MINOR, sample
from tests.serving.vllm_server import Server, make_base, publish, running_server

pytestmark = pytest.mark.browser
__all__ = ["sample"]

NARROW = {"viewport": {"width": 360, "height": 780}, "is_mobile": True, "has_touch": True}
ASKED = ("드론으로 배송해도 되나요?", "드론 배송도 가능한가요?")
TITLE = "드론으로 배송할 수 있나요?"
ENDPOINTS = "SMARTSTORE_PROVIDERS__ENDPOINTS__"


@dataclass
class Serving:
    """A server whose model has adapters."""

    url: str
    registry: Path
    vllm: Server


@pytest.fixture
def serving(sample: tuple[Path, dict[str, str]], tmp_path: Path) -> Iterator[Serving]:
    """It answers with a small server that has vLLM's routes."""
    folder, corpus = sample
    shutil.copytree(folder / "index", tmp_path / "index")
    registry = tmp_path / "adapters"
    with running_server(make_base(tmp_path / "base")) as vllm:
        settings = corpus | {
            "SMARTSTORE_PROVIDERS__DEFAULT": "vllm",
            f"{ENDPOINTS}VLLM__BASE_URL": vllm.url,
            f"{ENDPOINTS}VLLM__ALIAS_FILE": str(registry / FILE),
            "SMARTSTORE_STATE__ANSWER_TTL_S": "0",
        }
        with serve(tmp_path, **settings) as server:
            yield Serving(f"{server.url}/", registry, vllm)


@pytest.mark.parametrize("device", [DESKTOP, NARROW], ids=["desktop", "narrow"])
def test_an_adapter_is_tried_promoted_and_rolled_back(
    new_page: NewPage, serving: Serving, axe: str, device: dict[str, Any]
) -> None:
    first, second = (publish(serving.registry, serving.vllm.base, salt=salt) for salt in ("하나", "둘"))
    seller = new_page(serving.url)
    send(seller, MINOR)
    finish(seller)

    page = new_page(serving.url, wait_for=None, **device)
    page.goto(f"{serving.url}console#/adapters")
    page.wait_for_selector("text=바탕 모델(tiny)")

    def do(name: str, *, sure: str, told: str) -> None:
        # By the keyboard alone: the button asks once more, and the second one has the focus then.
        page.get_by_role("button", name=name, exact=True).focus()
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.textContent") == sure
        page.keyboard.press("Enter")
        page.wait_for_selector(f".message:has-text('{told}')")

    def check(name: str) -> None:
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        picture(page, f"adapters-{name}-{'phone' if device is NARROW else 'desktop'}")
        assert (violations(page, axe), wide) == ([], 0)

    check("none")
    do(f"{first} 모두에게 올리기", sure="정말 모두에게 올리기", told="이제 모두에게 답해요")
    page.get_by_role("form", name=f"{second} 시험").get_by_label("시험할 대화(%)").fill("25")
    page.get_by_role("button", name=f"{second} 시험하기").click()
    page.wait_for_selector(".message:has-text('25%에서 시험해요')")
    assert read_pointer(serving.registry / FILE).share == 0.25
    send(seller, f"{MINOR} 다시")
    finish(seller)
    wait_until(lambda: page.request.get(f"{serving.url}history/turns").json()["total"] == 2)
    open_view(page, "today")
    open_view(page, "adapters")
    arms = page.get_by_role("table", name="어댑터별 성적")
    assert arms.get_by_role("row").count() == 3
    assert "바탕 모델" not in arms.inner_text()
    assert "75%" in arms.inner_text()
    assert "답함 1" in arms.inner_text()
    check("trial")
    do("시험 끝내기", sure="정말 끝내기", told="시험을 끝냈어요")
    do("바탕 모델(tiny)(으)로 되돌리기", sure="정말 되돌리기", told="되돌렸어요")
    assert read_pointer(serving.registry / FILE).model_for("아무나") == "tiny"
    moves = page.get_by_role("table", name="바꾼 기록").inner_text()
    assert [word for word in ("되돌림", "시험 끝냄", "시험 시작", "모두에게 올림") if word not in moves] == []
    serving.vllm.ignores.add(second)
    page.get_by_role("button", name=f"{second} 모두에게 올리기").click()
    page.get_by_role("button", name="정말 모두에게 올리기").click()
    page.wait_for_selector("[role=alert]:has-text('답하지 않아 올리지 않았습니다')")
    assert page.get_by_role("button", name=f"{first} 시험하기").is_enabled()
    check("refused")


def test_faults_of_an_answer_are_seen_where_the_question_is(
    new_page: NewPage, serving: Serving, axe: str
) -> None:
    seller = new_page(serving.url)
    send(seller, MINOR)
    finish(seller)
    page = new_page(serving.url, wait_for=None)
    page.goto(f"{serving.url}console#/questions")
    page.locator("td a").first.click()
    page.wait_for_selector(".flaws")
    assert "출처가 없음" in page.inner_text(".flaws")
    picture(page, "question-flaws")
    assert violations(page, axe) == []
    open_view(page, "providers")
    assert "출처가 없음 1" in page.get_by_role("table", name="모델별 성적").inner_text()


def reply(_request: dict[str, Any]) -> str:
    """What the model writes for a gap."""
    return json.dumps({"title": TITLE, "quotes": [{"n": 1, "quote": "드론"}]}, ensure_ascii=False)


@pytest.fixture
def writing(sample: tuple[Path, dict[str, str]], tmp_path: Path) -> Iterator[tuple[str, Upstream]]:
    """A server that has a model beside its default, under a name of its operator's choice."""
    folder, corpus = sample
    shutil.copytree(folder / "index", tmp_path / "index")
    with upstream_in_thread() as behind:
        behind.reply = reply
        name = f"{ENDPOINTS}OUR_WRITER__"
        more = {f"{name}BASE_URL": behind.url(), f"{name}MODEL": MODEL, f"{name}THIRD_PARTY": "false"}
        # Whatever runs on this machine where a vLLM is expected has no part in it.
        more[f"{ENDPOINTS}VLLM__BASE_URL"] = "http://127.0.0.1:9/v1"
        with serve(tmp_path, **corpus, **more) as server:
            yield f"{server.url}/", behind


def test_a_draft_is_written_by_a_model_of_any_name(
    new_page: NewPage, writing: tuple[str, Upstream], axe: str
) -> None:
    url, behind = writing
    for question in ASKED:
        seller = new_page(url)
        send(seller, question)
        finish(seller)
    page = new_page(url, wait_for=None)
    page.goto(f"{url}console#/gaps")
    gap = page.locator("article.gap", has_text="드론")
    gap.get_by_role("button", name="초안 받기").click()
    page.wait_for_selector(f".message:has-text('{TITLE}')")
    asked = behind.requests[-1].body["messages"][-1]["content"]
    assert all(question in asked for question in ASKED)
    picture(page, "draft")
    assert violations(page, axe) == []
    page.get_by_role("link", name="이 초안으로 FAQ 쓰기").click()
    page.wait_for_selector(".editor")
    assert page.get_by_label("질문", exact=True).input_value() == TITLE
    assert "· “드론”" in page.get_by_label("답변", exact=True).input_value()
