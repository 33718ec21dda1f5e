"""A teacher's wording is accepted only where the source supports it; nothing is asked twice."""

import json
from pathlib import Path

import httpx
import pytest

from finetune.config import Teacher
from finetune.data.teacher import Rewriter, fault
from finetune.errors import ServiceError

SOURCE = (
    "[배송] 발송기한을 넘기면 어떻게 되나요?\n"
    "[판매관리 > 발주확인]에서 2일 안에 발송 처리를 하지 않으면 판매관리 페널티 1점이 부과됩니다."
)
DRAFT = "[판매관리 > 발주확인]에서 2일 안에 발송 처리를 하지 않으면 판매관리 페널티 1점이 부과됩니다. [1]"
GOOD = "2일 안에 [판매관리 > 발주확인]에서 발송 처리를 하지 않으면 페널티 1점이 부과됩니다. [1]"


def test_fault_accepts_a_faithful_wording() -> None:
    assert fault(GOOD, DRAFT, SOURCE, support=0.6) is None


@pytest.mark.parametrize(
    ("rewritten", "reason"),
    [
        (GOOD.replace("2일", "3일"), "a number is missing"),
        (GOOD.replace("부과됩니다", "부과되고 30일 동안 남습니다"), "a number is new"),
        (GOOD.replace("[판매관리 > 발주확인]", "판매자센터"), "a menu path is missing"),
        (GOOD + "\n[정산관리 > 정산내역]도 보세요. [1]", "a menu path is new"),
        (GOOD.replace("[1]", "[2]"), "citations differ"),
        (GOOD + " 구매자에게는 무료 쿠폰이 자동으로 지급됩니다. [1]", "a sentence has no support"),
        (GOOD + "\n발송 처리를 하지 않으면 판매관리 페널티가 부과됩니다.", "a sentence has no citation"),
        (" ", "empty"),
    ],
)  # fmt: skip
def test_fault_names_what_the_source_does_not_support(rewritten: str, reason: str) -> None:
    assert (fault(rewritten, DRAFT, SOURCE, support=0.6) or "").startswith(reason)


class Server:
    """Answers like a chat completions endpoint; counts and can fail."""

    def __init__(self, text: str) -> None:
        self.text, self.asked, self.failing = text, 0, False

    def client(self) -> httpx.Client:
        return httpx.Client(transport=httpx.MockTransport(self._answer))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        if self.failing:
            return httpx.Response(503)
        assert json.loads(request.content)["model"] == "teacher-1"
        return httpx.Response(200, json={"choices": [{"message": {"content": self.text}}]})


TEACHER = Teacher(base_url="http://127.0.0.1:9/v1", model="teacher-1")


def test_rewriter_goes_on_where_a_broken_run_stopped(tmp_path: Path) -> None:
    server, store = Server(GOOD), tmp_path / "teacher.jsonl"
    with Rewriter(TEACHER, store, client=server.client()) as rewriter:
        assert rewriter.rewrite("언제까지 보내야 하나요?", DRAFT, SOURCE) == GOOD
        server.failing = True
        with pytest.raises(ServiceError, match="run the command again"):
            rewriter.rewrite("늦으면요?", DRAFT, SOURCE)
    store.write_text(store.read_text(encoding="utf-8") + '{"key": "반', encoding="utf-8")
    server.failing, server.asked = False, 0
    with Rewriter(TEACHER, store, client=server.client()) as rewriter:
        assert rewriter.rewrite("언제까지 보내야 하나요?", DRAFT, SOURCE) == GOOD
        assert server.asked == 0
        rewriter.rewrite("늦으면요?", DRAFT, SOURCE)
        assert (server.asked, rewriter.accepted) == (1, 2)


def test_rewriter_keeps_the_draft_where_the_wording_invents(tmp_path: Path) -> None:
    server = Server(GOOD.replace("1점", "5점"))
    with Rewriter(TEACHER, tmp_path / "t.jsonl", client=server.client()) as rewriter:
        assert rewriter.rewrite("늦으면요?", DRAFT, SOURCE) == DRAFT
        assert (rewriter.accepted, rewriter.rejected) == (0, 1)
