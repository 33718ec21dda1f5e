"""What an extractive answer promises: whole, or it says that it is not."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.evaluation.answers import announces_in_vain, begins_in_the_middle, count_uncited
from retrieval.corpus.faq import Faq, read_corpus
from retrieval.prompt import ALL_SHOWN, CONTINUED, LEFT_OUT, Passage
from retrieval.quoting.blocks import split_blocks
from retrieval.quoting.citations import strip_citations
from retrieval.quoting.compose import compose
from retrieval.tokenizer import KoreanTokenizer

TOKENIZER = KoreanTokenizer()
ROOT = Path(__file__).parents[3]
REAL = ROOT.parent / "shared" / "data" / "final_result.pkl"
RETURNS = """반품 접수는 [주문관리 > 반품관리] 메뉴에서 하실 수 있습니다.
환불은 상품이 창고에 도착한 뒤 2영업일 이내에 처리됩니다.

반품 접수 방법

1. [주문관리 > 반품관리] 메뉴에 들어갑니다.
2. 반품할 주문을 고르고 '반품 접수' 버튼을 눌러 주세요.
3. 회수할 주소를 확인하고 저장해 주세요.
※ 주의. 저장한 뒤에는 주소를 바꿀 수 없으니 한 번 더 확인해 주시기 바랍니다.

반품 배송비 기준

반품 배송비는 구매자가 부담하는 경우 3,000원이며, 다음과 같은 경우 판매자가 부담합니다.
· 상품에 하자가 있거나 설명과 다른 상품이 배송된 경우
· 배송이 늦어져서 구매자가 받기를 거절한 경우
· 판매자의 사정으로 일부 상품만 배송된 경우

※ 참고.
· 냉동식품은 포장을 뜯은 뒤에는 반품할 수 없습니다.
· 반품 상품의 회수는 보통 영업일 기준 2일에서 3일이 걸리며 도서 지역은 더 걸릴 수 있습니다.

회수 현황 확인

1. [주문관리 > 회수 현황] 메뉴에서 기간을 정하고 '검색' 버튼을 눌러 주세요.
2. 목록에서 상품명을 누르면 기사의 연락처와 방문 예정 시각, 지금까지의 이동 경로가 차례로 보입니다.
3. 방문이 미뤄진 건은 '다시 방문' 버튼을 눌러 날짜를 새로 정할 수 있고, 정한 날짜는 문자로 안내됩니다.
4. 기사가 세 번 방문하고도 만나지 못한 건은 목록에서 빠지며, 담당 영업소로 문의해 다시 접수해야 합니다.

현황은 한 시간마다 새로 고쳐지며, 지난 여섯 달 동안의 기록을 엑셀 파일로 내려받아 보관할 수 있습니다.
내려받은 파일에는 상품명과 접수일, 방문일, 도착일이 화면에서 정한 열의 차례대로 들어 있습니다."""


def passage(answer: str, question: str = "반품은 어떻게 접수하나요?", n: int = 1) -> Passage:
    return Passage(n, Faq(f"{n:012x}", question, answer, (), (), question))


def answer_to(question: str, *passages: Passage) -> str:
    return "".join(compose(question, passages, TOKENIZER))


def check(one: Passage, question: str) -> None:
    """Everything that holds of any answer."""
    text = answer_to(question, one)
    assert 0 < len(text) <= 900
    assert not announces_in_vain(text), text
    assert not begins_in_the_middle(text), text
    assert count_uncited(text)[1] == 0
    said, shown = strip_citations(text), text
    lines = [line for block in split_blocks(one.faq.answer) for line in block.lines]
    assert said.endswith(LEFT_OUT) or all(line in said for line in lines), text
    for _ in range(40):  # `더 자세히` comes to an end, and repeats nothing
        more = "".join(compose(question, [one], TOKENIZER, rest=True, shown=shown))
        if ALL_SHOWN in more:
            break
        assert more.startswith(CONTINUED)
        assert len(more) <= 900
        shown += "\n" + more
    assert ALL_SHOWN in more
    seen = re.sub(r"\s+", "", strip_citations(shown))
    for block in split_blocks(one.faq.answer):
        assert all(re.sub(r"\s+", "", line)[:600] in seen for line in block.lines)


def test_ordinary_faq_is_shown_whole() -> None:
    body = "네, 가능합니다.\n단, 심사가 끝난 뒤에만 바꿀 수 있습니다.\n※ 참고. 심사는 3일 걸립니다."
    assert answer_to("상호명 변경 되나요?", passage(body)) == (
        "네, 가능합니다. 단, 심사가 끝난 뒤에만 바꿀 수 있습니다. [1]\n※ 참고. 심사는 3일 걸립니다. [1]"
    )


def test_of_a_long_faq_the_block_that_was_asked_for_is_shown_and_the_rest_is_told_of() -> None:
    text = answer_to("냉동식품 포장 뜯었는데 반품 되나요?", passage(RETURNS))
    assert "냉동식품은 포장을 뜯은 뒤에는 반품할 수 없습니다." in text
    assert text.endswith(f"{LEFT_OUT} [1]")


def test_steps_come_all_with_their_heading_and_warning() -> None:
    text = answer_to("반품 접수 방법 순서대로 알려주세요", passage(RETURNS))
    heading, *rest = text[text.index("반품 접수 방법:") :].split("\n")
    assert heading == "반품 접수 방법:"
    assert [line[:2] for line in rest[:4]] == ["1.", "2.", "3.", "※ "]


def test_conditions_come_all_or_none() -> None:
    for question in ("판매자가 배송비 부담하는 경우", "하자 있으면 배송비 누가 내요?", "환불 언제", "반품"):
        text = answer_to(question, passage(RETURNS))
        assert len({condition in text for condition in ("하자가", "늦어져서", "사정으로")}) == 1


def test_list_without_a_sentence_above_it_gets_the_title() -> None:
    text = answer_to(
        "필독사항", passage("· 여섯 개 이상 등록합니다.\n· 모두 달라야 합니다.", "신청 전 필독사항")
    )
    assert text.startswith("신청 전 필독사항\n· 여섯")


def test_announcement_of_a_picture_sends_to_the_source() -> None:
    text = answer_to("매출액 기준", passage("매출액은 국세청이 정합니다.\n매출액 기준은 아래와 같습니다."))
    assert "매출액 기준은 출처에서 확인해 주세요." in text
    assert "아래" not in text


def test_more_is_the_rest_and_then_says_that_there_is_none() -> None:
    one = passage(RETURNS)
    first = answer_to("환불은 언제 되나요?", one)
    second = "".join(compose("더 자세히", [one], TOKENIZER, rest=True, shown=first))
    assert second.startswith(CONTINUED)
    assert not {line for line in first.split("\n") if line.strip()} & set(second.split("\n")) - {LEFT_OUT}
    assert compose("더 자세히", [one], TOKENIZER, rest=True, shown=first + second) == [f"{ALL_SHOWN} [1]"]


def test_without_passages_there_is_nothing_to_say() -> None:
    assert compose("쿠폰", (), TOKENIZER) == []


def test_a_second_passage_adds_what_the_first_lacks() -> None:
    first = passage("반품은 반품관리 메뉴에서 접수합니다.")
    said = "반품은 반품관리 메뉴에서 접수합니다. [1]"
    coupons = "쿠폰은 혜택관리 메뉴에서 만듭니다.\n\n쿠폰 종류는 아래와 같습니다.\n· 상품 쿠폰\n· 배송 쿠폰"

    def with_second(question: str, answer: str = coupons) -> str:
        return answer_to(question, first, passage(answer, "쿠폰은 어디서 만드나요?", 2))

    assert with_second("반품하면 쿠폰은 어떻게 되나요?") == f"{said}\n쿠폰은 혜택관리 메뉴에서 만듭니다. [2]"
    assert with_second("쿠폰 종류") == f"{said}\n쿠폰 종류는 아래와 같습니다.\n· 상품 쿠폰\n· 배송 쿠폰 [2]"
    assert with_second("반품 접수 메뉴") == said
    # A list that is a picture, and more than an aside.
    assert with_second("쿠폰 종류", "쿠폰 종류는 아래와 같습니다.") == said
    assert with_second("쿠폰", f"쿠폰은 {'아주 ' * 140}많습니다.") == said


def test_passages_keep_their_numbers() -> None:
    assert answer_to("쿠폰 메뉴", passage("쿠폰은 혜택관리에 있습니다.", n=3)).endswith("[3]")


SENTENCES = st.sampled_from(
    (
        "정산은 다음 날 됩니다.", "단, 공휴일은 제외됩니다.", "쿠폰은 [혜택관리 > 쿠폰] 메뉴에서 만듭니다.",
        "배송비는 3,000원입니다.", "이 경우 판매자가 부담합니다.", "네, 가능합니다.",
        "※ 참고. 하루 걸립니다.", "※ 주의. 되돌릴 수 없습니다.", "예시) 1월 1일 주문",
        "자세한 내용은 공지사항을 참고해 주세요.", "아래 이미지를 참고해 주세요.",
    )
)  # fmt: skip
LEADS = st.sampled_from(
    ("서류는 아래와 같습니다.", "다음의 방법으로 신청합니다.", "조건은 다음과 같습니다.", "신청 방법")
)
MARKS = st.sampled_from(("· ", "{}. ", "{}) "))


@st.composite
def lists(draw: st.DrawFn) -> str:
    count, mark, length = draw(st.integers(1, 30)), draw(MARKS), draw(st.integers(1, 40))
    return "\n".join(
        (draw(LEADS), *(f"{mark.format(n)}{n}번째 {'항목 ' * length}입니다." for n in range(1, count + 1)))
    )


FAQS = st.lists(
    SENTENCES | lists() | st.sampled_from(("", "■ 가입 조건", "[필수 서류]")), min_size=1, max_size=12
)


@settings(max_examples=150, deadline=None)
@given(FAQS.map("\n".join), st.sampled_from(("서류가 뭐예요?", "정산 언제", "신청 방법", "가입")))
def test_any_faq_is_answered_whole_or_says_that_it_is_not(answer: str, question: str) -> None:
    if answer.strip():
        check(passage(answer.strip()), question)


def test_every_faq_of_the_sample_is_answered_whole_or_says_that_it_is_not() -> None:
    for faq in read_corpus(ROOT / "configs" / "faq" / "sample.jsonl").faqs:
        check(Passage(1, faq), faq.question)


@pytest.mark.real
@pytest.mark.timeout(300)
@pytest.mark.skipif(not REAL.exists(), reason="needs the real FAQ in ../shared")
def test_every_real_faq_is_answered_whole_or_says_that_it_is_not() -> None:
    for faq in read_corpus(REAL).faqs:
        check(Passage(1, faq), faq.question)
