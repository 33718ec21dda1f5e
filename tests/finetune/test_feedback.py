"""Feedback becomes training data: corrections, thumbs and pairs; FAQs held out stay out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from finetune.data.feedback import Feedback, read_feedback, write_feedback
from finetune.errors import DataError
from retrieval.corpus.faq import Faq, faq_id
from retrieval.prompt import ground
from retrieval.tokenizer import KoreanTokenizer

FAQS = {id: Faq(id, f"제목 {id}", f"본문 {id}입니다.", (), (), f"제목 {id}") for id in ("f1", "f2", "held")}


def turn(
    question: str, answer: str, *, rating: str | None = None, faqs: str = "f1", **fields: Any
) -> dict[str, Any]:
    sources = [{"n": n, "faq_id": id, "question": "제목"} for n, id in enumerate(faqs.split(), start=1)]
    row = {"standalone": question, "answer": answer, "rating": rating, "sources": sources, "correction": None}
    return row | fields


def exported(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "turns.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def read(path: Path, held: frozenset[str] = frozenset({"held"})) -> Feedback:
    return read_feedback(path, faqs=FAQS, validation=held, system="지침", tokenizer=KoreanTokenizer())


def test_thumbs_become_rows_with_the_passages_of_their_turn(tmp_path: Path) -> None:
    rows = (
        turn("정산 언제 돼요?", "내일입니다[2].", rating="up", faqs="f2 f1"),
        turn("정산  언제 돼요?", "모릅니다[1].", rating="down", faqs="f2 f1"),
        turn("정산 언제 돼요?", "글쎄요[1].", rating="down", faqs="f1"),
        turn("아무 말", "답"),
        turn("빼 둔 질문", "답", rating="up", faqs="f1 held"),
        turn("없어진 글", "답", rating="up", faqs="gone"),
        turn("날씨", "저는 챗봇입니다.", rating="down", faqs=""),
    )
    found = read(exported(tmp_path, *rows))
    assert [row["label"] for row in found.kto] == [True, False, False]
    shown = ground("정산 언제 돼요?", [FAQS["f2"], FAQS["f1"]], system="지침")
    assert found.kto[0]["prompt"] == shown.messages()
    # Answers to other passages are no pair: their citations mean something else.
    pairs = {(row["chosen"][0]["content"], row["rejected"][0]["content"]) for row in found.dpo}
    assert pairs == {("내일입니다[2].", "모릅니다[1].")}
    assert found.dropped == {"validation": 1, "no word on it": 1, "a passage is gone": 1, "a fixed answer": 1}
    assert write_feedback(found, tmp_path / "out") == {"sft": 0, "kto": 3, "dpo": 1}
    assert len((tmp_path / "out/history-kto.jsonl").read_text("utf-8").splitlines()) == 3


def test_correction_is_answered_from_the_faq_that_was_written(tmp_path: Path) -> None:
    correction = {"question": "드론도 파나요?", "answer": "드론은 판매할 수 없습니다."}
    told = turn("드론 되나요?", "됩니다[1].", rating="down", faqs="f1 f2", correction=correction)
    found = read(exported(tmp_path, told))
    *prompt, answer = found.sft[0]["messages"]
    assert answer["content"] == "드론은 판매할 수 없습니다. [3]"
    assert "[3] 드론도 파나요?\n드론은 판매할 수 없습니다." in prompt[-1]["content"]
    assert "[1] 제목 f1" in prompt[-1]["content"]
    assert found.dpo == [
        {"prompt": prompt, "chosen": [answer], "rejected": [{"role": "assistant", "content": "됩니다[1]."}]}
    ]
    assert read(exported(tmp_path, told), frozenset({faq_id(correction["question"])})).dropped == {
        "validation": 1
    }


def test_mended_faq_takes_its_old_place(tmp_path: Path) -> None:
    mended = {"question": "드론도 파나요?", "answer": "드론은 판매할 수 없습니다."}
    old = Faq(faq_id("드론도 파나요?"), "드론도 파나요?", "됩니다.", (), (), "드론도 파나요?")
    path = exported(tmp_path, turn("드론?", "됩니다[1].", faqs=f"{old.id} f1", correction=mended))
    found = read_feedback(
        path, faqs=FAQS | {old.id: old}, validation=frozenset(), system="", tokenizer=KoreanTokenizer()
    )
    assert found.sft[0]["messages"][-1]["content"] == "드론은 판매할 수 없습니다. [1]"
    assert "됩니다." not in found.sft[0]["messages"][-2]["content"]


def test_file_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 1 lacks"):
        read(exported(tmp_path, {"question": "가"}))
    with pytest.raises(DataError, match="smartstore history export"):
        read(tmp_path / "none.jsonl")
