"""Greetings, thanks and the wish for a person: all that were written are known, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest

from retrieval.corpus.expansions import read_expansions
from retrieval.scope.classifier import SCOPE_DIR
from retrieval.scope.intents import Intent, intent_of
from retrieval.training.scope_examples import read_scope_lines

EXPANSIONS = Path("configs/expansions")
INTENTS = ("greeting", "thanks", "person")


@pytest.mark.parametrize(
    ("text", "intent"),
    [
        ("안녕하세요~!", "greeting"),
        ("안녕 챗봇아 ㅎㅎ", "greeting"),
        ("저기요 질문 있어요", "greeting"),
        ("네 감사합니다 수고하세요^^", "thanks"),
        ("덕분에 해결됐어요", "thanks"),
        ("상담원 연결", "person"),
        ("사람하고 통화하고 싶어요", "person"),
        ("스마트스토어 고객센터 번호좀", "person"),
        ("안녕하세요 정산은 언제 되나요", "question"),
        ("고객센터 번호 변경", "question"),
        ("쿠팡 판매자 고객센터 번호 알려줘요", "question"),
        ("직원이랑 같이 관리하고 싶어요", "question"),
        ("구매자와 통화가 안 돼요", "question"),
        ("감사 메시지를 자동으로 보내고 싶어요", "question"),
        ("?", "question"),
    ],
)
def test_intent(text: str, intent: Intent) -> None:
    assert intent_of(text) == intent


def test_every_written_line_has_the_intent_of_its_label() -> None:
    wrong = {
        line.text: intent_of(line.text)
        for line in read_scope_lines(SCOPE_DIR)
        if intent_of(line.text) != (line.label if line.label in INTENTS else "question")
    }
    assert wrong == {}


def test_ways_of_asking_for_a_faq_are_questions() -> None:
    asked = [query for queries in read_expansions(EXPANSIONS).values() for query in queries]
    taken = [query for query in asked if intent_of(query) != "question"]
    assert len(taken) <= len(asked) / 5_000, taken
