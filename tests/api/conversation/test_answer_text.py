"""What becomes of a provider's text on its way to the reader."""

from __future__ import annotations

from dataclasses import replace

import pytest

from api.conversation.answer_text import AnswerText
from api.conversation.checks.bounds import AnswerBounds
from retrieval.corpus.faq import Faq
from retrieval.prompt import Passage
from retrieval.scope.fixed_answers import UNSURE

_TITLE = "반품 배송비는 누가 내나요?"
FEES = Faq("0123456789ab", _TITLE, "단순 변심이면 구매자가 3,000원을 냅니다.", (), (), _TITLE)
DAYS = replace(FEES, id="ba987654", question="정산은 언제 되나요?", answer="구매확정 뒤 1영업일에 됩니다.")


def _text(*, drop: bool = False) -> AnswerText:
    return AnswerText((Passage(1, FEES), Passage(2, DAYS)), AnswerBounds(), llm=True, drop_ungrounded=drop)


def test_a_passage_that_was_not_given_is_neither_cited_nor_a_source_of_figures() -> None:
    answer = "구매자가 냅니다 [1]. 정산은 1영업일에 됩니다 [2]."
    whole, trimmed = _text(), _text()
    trimmed.give(1)
    assert whole.feed(answer) + whole.flush() == answer
    assert trimmed.feed(answer) + trimmed.flush() == "구매자가 냅니다 [1]. 정산은 1영업일에 됩니다."
    assert (whole.cited, whole.dropped_citations, whole.ungrounded) == ((1, 2), 0, ())
    assert (trimmed.cited, trimmed.dropped_citations) == ((1,), 1)
    assert trimmed.ungrounded == ("정산은 1영업일에 됩니다.",)


def _read(text: AnswerText, answer: str, size: int = 3) -> str:
    """What a reader is shown of `answer`, which arrives in pieces of `size`."""
    shown = ""
    for at in range(0, len(answer), size):
        if text.ended:
            break
        shown += text.feed(answer[at : at + size])
    return shown + text.flush()


@pytest.mark.parametrize(
    "answer",
    [
        "단순 변심이면 반품 배송비 3,000원을 구매자가 냅니다.",
        "단순 변심이면 반품 배송비 3,000원을 구매자가 냅니다 [9].",
    ],
)
def test_an_answer_that_cites_nothing_gets_the_citation_where_its_source_is_sure(answer: str) -> None:
    text = _text()
    assert _read(text, answer) == "단순 변심이면 반품 배송비 3,000원을 구매자가 냅니다. [1]"
    assert (text.verdict, text.cited, text.faults) == ("answered", (1,), ["repaired"])
    assert text.dropped_citations == answer.count("[9]")


@pytest.mark.parametrize(
    "answer",
    [
        "판매자가 고객센터에 먼저 문의해서 사유를 확인하셔야 합니다.",
        # Begins as the first passage does, and goes on with what no passage says.
        "단순 변심이면 반품 배송비는 먼저 고객센터에 문의해서 사유를 확인하고 정하셔야 합니다.",
        # The words of the first passage, but not its fee.
        "단순 변심이면 반품 배송비 5,000원을 구매자가 냅니다.",
        "구매자가 냅니다.",
    ],
)
def test_an_answer_whose_source_is_not_sure_stays_uncited(answer: str) -> None:
    text = _text()
    assert _read(text, answer) == answer
    assert (text.verdict, text.cited, text.faults) == ("unsure", (), ["uncited"])


def test_a_source_that_two_passages_share_is_not_sure() -> None:
    answer = "단순 변심이면 반품 배송비 3,000원을 구매자가 냅니다."
    twins = (Passage(1, FEES), Passage(2, replace(FEES, id="ba987654")))
    text = AnswerText(twins, AnswerBounds(), llm=True)
    assert _read(text, answer) == answer
    assert text.faults == ["uncited"]


@pytest.mark.parametrize("answer", [_TITLE, f"**{_TITLE}** [1]", "반품 배송비는 누가 내나요"])
def test_a_title_is_no_answer(answer: str) -> None:
    text = _text()
    assert _read(text, answer) == UNSURE
    assert (text.verdict, text.faults) == ("unsure", ["title_only"])


@pytest.mark.parametrize(
    "answer", ["[1] [반품] 반품 배송비는 언제 누가 내나요?", "반품 배송비를 누가 언제 내나요?"]
)
def test_a_question_is_no_answer(answer: str) -> None:
    text = _text()
    assert _read(text, answer) == answer
    assert (text.verdict, text.faults) == ("unsure", ["title_only"])


@pytest.mark.parametrize(
    "answer", [f"{_TITLE} 구매자가 냅니다 [1].", "구매자가 냅니다 [1]. 더 궁금한 점이 있나요?"]
)
def test_an_answer_may_begin_with_a_title_or_end_with_a_question(answer: str) -> None:
    text = _text()
    assert _read(text, answer) == answer
    assert (text.verdict, text.faults) == ("answered", [])


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_an_answer_that_goes_round_in_circles_is_cut(size: int) -> None:
    sentence = "반품 배송비는 구매자가 냅니다 [1]. "
    text = _text()
    shown = _read(text, "요점입니다. " + sentence * 50, size)
    assert shown.count("구매자가") == 3
    assert text.ended
    assert (text.finish("stop"), text.verdict, text.faults) == ("length", "answered", ["repetition"])


def test_a_run_without_an_end_of_a_sentence_is_cut() -> None:
    text = _text()
    assert len(_read(text, "메뉴는 [1] " + "상품관리 > " * 500)) < 120
    assert text.faults == ["repetition"]


def test_a_list_with_alike_lines_is_not_cut() -> None:
    answer = (
        "".join(f"- {n}번째 상품의 배송비는 구매자가 냅니다 [1].\n" for n in range(9)) + "| - | - |\n" * 12
    )
    text = _text()
    assert _read(text, answer) == answer
    assert text.faults == []


@pytest.mark.parametrize("answer", ["The buyer pays the return fee [1]. " * 9, "退货运费由买家承担。" * 20])
def test_an_answer_in_another_language_is_not_shown(answer: str) -> None:
    text = _text()
    assert _read(text, answer) == UNSURE
    assert text.ended
    assert (text.verdict, text.finish("length"), text.faults) == ("unsure", "stop", ["wrong_language"])


@pytest.mark.parametrize(
    "answer", ["3,000 [1]", f"https://sell.smartstore.naver.com/{'a' * 90} 에서 확인합니다 [1]."]
)
def test_a_short_answer_or_an_address_is_in_no_other_language(answer: str) -> None:
    text = _text()
    assert _read(text, answer) == answer
    assert text.faults == []


def test_quotations_of_the_faq_are_not_held_to_what_a_model_is() -> None:
    for answer in ("The buyer pays. " * 9, _TITLE):
        text = AnswerText((Passage(1, FEES),), AnswerBounds(), llm=False)
        assert _read(text, answer) == answer
        assert text.faults == []
