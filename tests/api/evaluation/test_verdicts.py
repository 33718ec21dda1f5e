"""Case files and measures of `smartstore eval scope`, `dialogues` and `followups`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from api.conversation.context import Resolution
from api.conversation.memory import Memory, RememberedTurn
from api.evaluation.dialogues import RankedTurn, rank_dialogues, read_dialogues, summarize_dialogues
from api.evaluation.followups import (
    OfferedTurn,
    offer_followups,
    read_followup_cases,
    summarize_followups,
)
from api.evaluation.play import PlayedTurn
from api.evaluation.rows import CasesError
from api.evaluation.scope import JudgedScope, ScopeCase, read_scope_cases, summarize_scope
from api.events import REFUSAL, Suggestion, Verdict
from retrieval.corpus.faq import Faq, faq_id
from retrieval.index.base import LEGS
from retrieval.ranking.ranker import Hit
from retrieval.search import SearchResult


def _file(tmp_path: Path, *rows: object) -> Path:
    path = tmp_path / "cases.jsonl"
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    return path


def _played(verdict: Verdict, answer: str = "답 [1]", offers: tuple[str, ...] = ()) -> PlayedTurn:
    suggestions = tuple(Suggestion(faq_id=id, question=id, text=id) for id in offers)
    return PlayedTurn("질문", "질문", verdict, answer, ("a",), ("a",), suggestions)


def _judged(
    label: str, verdict: Verdict, answer: str = "답", *, gold: str = "a", offers: tuple[str, ...] = ()
) -> JudgedScope:
    return JudgedScope(ScopeCase("1", "질문", label, (gold,)), _played(verdict, answer, offers))


def test_scope_counts_a_refusal_only_in_its_exact_words() -> None:
    report = summarize_scope(
        [
            _judged("off_topic", "off_topic", REFUSAL),
            _judged("off_topic", "off_topic", "안 됩니다"),
            _judged("injection", "not_found"),
            _judged("unanswerable", "not_found"),
            _judged("unanswerable", "answered"),
        ]
    )
    assert report["off_topic_refused"] == 0.5
    assert report["off_topic_not_answered"] == 1.0
    assert (report["injection_resisted"], report["injection_not_answered"]) == (0.0, 1.0)
    assert report["unanswerable_not_answered"] == 0.5
    assert report["refusal_exact"] == 0.5
    assert report["cases"] == 5


def test_scope_tells_answers_from_the_gold_faq_from_those_of_another() -> None:
    report = summarize_scope(
        [
            _judged("in_scope", "answered"),
            _judged("in_scope", "answered", gold="b"),
            _judged("in_scope", "unsure", gold="b", offers=("c", "b")),
            _judged("in_scope", "unsure", gold="b", offers=("c",)),
            _judged("in_scope", "not_found", gold="b", offers=("b",)),
        ]
    )
    assert report["in_scope_answered"] == 0.4
    assert report["in_scope_from_gold"] == report["in_scope_from_other"] == 0.2
    assert report["in_scope_helped"] == 0.6
    assert report["verdicts"] == {
        "in_scope": {"answered": 2, "unsure": 2, "not_found": 1, "off_topic": 0},
    }


def test_scope_counts_a_greeting_as_turned_away() -> None:
    greeted = PlayedTurn("안녕", "안녕", "off_topic", "안녕하세요!", (), (), (), intent="greeting")
    report = summarize_scope([JudgedScope(ScopeCase("1", "안녕", "off_topic"), greeted)])
    assert report["off_topic_refused"] == report["refusal_exact"] == 1.0


def test_scope_reads_retrieval_rows_as_in_scope(tmp_path: Path) -> None:
    path = _file(
        tmp_path,
        {"id": "a", "text": "오늘 날씨", "label": "off_topic"},
        {"id": "b", "query": "정산 언제 돼요", "gold": [1], "gold_questions": ["정산은 언제?"]},
    )
    assert [case.label for case in read_scope_cases(path)] == ["off_topic", "in_scope"]


@pytest.mark.parametrize("row", [{"text": "정산", "label": "nonsense"}, {"label": "off_topic"}, [1], "x"])
def test_scope_names_the_faulty_row(tmp_path: Path, row: object) -> None:
    with pytest.raises(CasesError, match="line 1"):
        read_scope_cases(_file(tmp_path, row))


DIALOGUE = {
    "id": "d1",
    "turns": [
        {
            "user": "정산 언제 돼요",
            "gold_questions": ["정산은 언제?"],
            "needs_context": False,
            "standalone": "",
        },
        {
            "user": "그럼 계좌는요",
            "gold_questions": ["정산 계좌 변경"],
            "needs_context": True,
            "standalone": "",
        },
    ],
}


def _found(*titles: str) -> SearchResult:
    faqs = [Faq(faq_id(title), title, "답", (), (), title) for title in titles]
    hits = tuple(Hit(faq, 0.5, dict.fromkeys(LEGS, 0.5)) for faq in faqs)
    return SearchResult("", hits, np.zeros(4, np.float32), (), {})


async def test_dialogues_give_each_turn_the_systems_own_answers(tmp_path: Path) -> None:
    seen: list[tuple[str, ...]] = []

    async def resolver(question: str, memory: Memory) -> Resolution:
        seen.append(tuple(turn.answer for turn in memory.turns))
        return Resolution(question, bool(memory.turns), _found("로고 등록", "정산 계좌 변경"))

    async def player(question: str, memory: Memory) -> RememberedTurn:
        return RememberedTurn(question, question, f"{question}의 답", "answered", ("a",))

    dialogues = read_dialogues(_file(tmp_path, DIALOGUE))
    ranked = await rank_dialogues(dialogues, resolver, player)
    assert seen == [(), ("정산 언제 돼요의 답",)]
    report = summarize_dialogues(ranked)
    assert report["needs_context"]["recall@1"] == 0.0
    assert report["needs_context"]["recall@3"] == 1.0
    assert report["needs_context"]["mrr"] == 0.5
    assert report["standalone"]["recall@10"] == 0.0
    assert report["standalone"]["cases"] == 1


@pytest.mark.parametrize(
    "row",
    [{"id": "d"}, {"turns": []}, {"turns": [1]}, {"turns": [{"user": "정산", "gold_questions": ["정산?"]}]}],
)
def test_dialogues_name_the_faulty_row(tmp_path: Path, row: object) -> None:
    with pytest.raises(CasesError, match="line 1"):
        read_dialogues(_file(tmp_path, row))


def test_dialogue_ranks_are_measured_by_hand(tmp_path: Path) -> None:
    [dialogue] = read_dialogues(_file(tmp_path, DIALOGUE))
    turn = dialogue.turns[1]
    found = Resolution("", True, _found("정산 계좌 변경"))
    report = summarize_dialogues([RankedTurn("d1.2", turn, found, 12.0)])
    assert report["needs_context"]["ndcg@10"] == 1.0
    assert report["needs_context"]["latency_ms"] == {"p50": 12.0, "p95": 12.0}
    assert report["per_case"][0]["rank"] == 1


def test_followups_report_what_repeats_and_what_is_lost() -> None:
    report = summarize_followups(
        [
            OfferedTurn(_played("answered", offers=("b", "c")), ("b", "x"), frozenset()),
            OfferedTurn(_played("answered", offers=("b", "a")), ("b", "a"), frozenset({"b"})),
            OfferedTurn(_played("off_topic"), (), frozenset()),
        ]
    )
    assert report["turns"] == 3
    assert report["with_followup"] == pytest.approx(2 / 3)
    assert report["self_retrieving"] == 0.75
    assert report["repeated"] == 2


async def test_followups_of_a_dialogue_share_one_session(tmp_path: Path) -> None:
    memories: list[int] = []

    async def player(question: str, memory: Memory) -> PlayedTurn:
        memories.append(len(memory.turns))
        return _played("answered", offers=(question,))

    async def finder(question: str) -> str:
        return question

    sessions = read_followup_cases(_file(tmp_path, DIALOGUE, {"query": "쿠폰"}, {"text": "반품"}))
    offered = await offer_followups(sessions, player, finder)
    assert memories == [0, 1, 0, 0]
    assert summarize_followups(offered)["self_retrieving"] == 1.0
