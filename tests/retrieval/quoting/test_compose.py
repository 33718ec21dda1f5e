"""How an answer is laid out and cited."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.corpus.faq import Faq
from retrieval.prompt import Passage
from retrieval.quoting.compose import compose
from retrieval.tokenizer import KoreanTokenizer

TOKENIZER = KoreanTokenizer()
ANSWER = """쿠폰은 [혜택관리 > 쿠폰 만들기] 메뉴에서 만듭니다.

쿠폰 만드는 순서

3) 쿠폰 이름을 적어 주세요.
4) 할인 금액을 정해 주세요.

※ 참고. 쿠폰은 최대 500개까지 만들 수 있습니다."""


def _passage(n: int, question: str, answer: str) -> Passage:
    return Passage(n, Faq(f"{n:012x}", question, answer, (), (), question))


def _answer(question: str, *passages: Passage) -> str:
    return "".join(compose(question, passages, TOKENIZER))


def test_every_line_is_cited_and_marked() -> None:
    answer = _answer(
        "쿠폰 어떻게 만들어요? 최대 몇 개까지 되나요?", _passage(1, "쿠폰은 어떻게 만드나요?", ANSWER)
    )
    lines = answer.split("\n")
    assert lines[0] == "쿠폰은 [혜택관리 > 쿠폰 만들기] 메뉴에서 만듭니다. [1]"
    assert "1) 쿠폰 이름을 적어 주세요. [1]" in lines
    assert "2) 할인 금액을 정해 주세요. [1]" in lines
    assert lines[-1] == "※ 쿠폰은 최대 500개까지 만들 수 있습니다. [1]"


def test_heading_is_written_where_the_list_needs_it() -> None:
    answer = (
        "계정을 추가할 수 있습니다.\n\n추가가 제한되는 경우\n· 이용정지 상태\n· 부매니저 계정\n· 잔액 부족"
    )
    text = _answer("계정 추가 조건이 뭐예요?", _passage(1, "계정을 추가할 수 있나요?", answer))
    assert "\n추가가 제한되는 경우:\n· 이용정지 상태 [1]\n" in text


def test_long_instruction_says_that_it_goes_on() -> None:
    steps = "\n".join(
        f"{n}. 설정 화면의 {n}번째 항목을 고르고 저장 버튼을 누른 뒤 기다려 주세요." for n in range(1, 20)
    )
    answer = _answer("설정 방법 알려주세요", _passage(1, "설정은 어떻게 하나요?", steps))
    assert answer.startswith("1) 설정 화면의 1번째")
    assert answer.endswith("다음 단계는 출처의 FAQ에 이어집니다. [1]")


def test_numbering_goes_on_after_a_remark_between_steps() -> None:
    body = "1. 메뉴를 엽니다.\n주소는 두 개까지 됩니다.\n2. 주소를 고릅니다.\n3. 저장합니다."
    answer = _answer("주소 등록 방법", _passage(1, "주소는 어떻게 등록하나요?", body))
    assert [line[:2] for line in answer.split("\n") if line[1] == ")"] == ["1)", "2)", "3)"]


def test_second_passage_adds_what_the_first_lacks() -> None:
    first = _passage(1, "쿠폰은 어떻게 만드나요?", "쿠폰은 [혜택관리] 메뉴에서 만듭니다.")
    second = _passage(2, "포인트 유효기간", "또한, 포인트 유효기간은 1년입니다.")
    assert _answer("포인트 유효기간", first, second).endswith("\n포인트 유효기간은 1년입니다. [2]")


def test_second_passage_is_silent_where_the_first_says_all() -> None:
    first = _passage(1, "쿠폰은 어떻게 만드나요?", "쿠폰은 [혜택관리] 메뉴에서 만듭니다.")
    second = _passage(2, "포인트 유효기간", "포인트 유효기간은 1년입니다.")
    assert "[2]" not in _answer("쿠폰 만드는 메뉴가 어디예요?", first, second)


def test_an_item_that_a_list_repeats_is_said_once() -> None:
    body = "아래의 서류를 내 주세요.\n· 통장 사본 1부\n· 인감증명서 1부\n· 통장 사본 1부"
    assert _answer("서류가 뭐예요?", _passage(1, "서류", body)).count("통장 사본") == 1


def test_passages_keep_their_numbers() -> None:
    assert _answer("쿠폰 메뉴", _passage(3, "쿠폰 메뉴", "쿠폰은 혜택관리에 있습니다.")).endswith("[3]")


def test_without_passages_there_is_nothing_to_say() -> None:
    assert compose("쿠폰", (), TOKENIZER) == []


@pytest.mark.parametrize("question", ["쿠폰", "?", "coupon how many", "쿠폰 " * 300])
def test_any_question_gets_an_answer_of_bounded_length(question: str) -> None:
    body = "쿠폰 안내입니다.\n" + "\n".join(f"· 쿠폰 조건 {n}번은 언제나 같습니다." for n in range(80))
    answer = _answer(question, _passage(1, "쿠폰 안내", body))
    assert 0 < len(answer) <= 600


@given(st.text(alphabet="가나다 .\n1)2·※■:예시아래와같습니다[]>", min_size=1, max_size=200))
def test_every_piece_ends_with_a_citation_or_is_a_heading(body: str) -> None:
    for piece in compose("가나다", [_passage(1, "가나다", body)], TOKENIZER):
        assert re.search(r"( \[1\]|:)$", piece)
