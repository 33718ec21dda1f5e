"""Which sentences of an answer are quoted."""

from retrieval.quoting.cues import read_question
from retrieval.quoting.select import score_units, select_units
from retrieval.quoting.units import split_units
from retrieval.tokenizer import KoreanTokenizer

TOKENIZER = KoreanTokenizer()

RETURNS = """반품 접수는 [주문관리 > 반품관리] 메뉴에서 하실 수 있습니다.
반품 배송비는 구매자가 부담하는 경우 3,000원입니다.
환불은 상품이 창고에 도착한 뒤 2영업일 이내에 처리됩니다.

반품 접수 방법

1. [주문관리 > 반품관리] 메뉴에 들어갑니다.
2. 반품할 주문을 고르고 '반품 접수' 버튼을 눌러 주세요.
3. 회수할 주소를 확인하고 저장해 주세요.

※ 참고.
· 냉동식품은 포장을 뜯은 뒤에는 반품할 수 없습니다.
· 자세한 내용은 반품 도움말을 참고해 주세요."""


def _chosen(question: str, answer: str = RETURNS, title: str = "반품은 어떻게 접수하나요?") -> list[str]:
    asked = read_question(question, TOKENIZER.tokens(question))
    meant = read_question(title, TOKENIZER.tokens(title))
    return [
        unit.text for unit in select_units(score_units(split_units(answer), asked, meant), asked, budget=90)
    ]


def test_question_about_time_gets_the_sentence_with_the_time() -> None:
    assert any("2영업일" in text for text in _chosen("환불은 언제까지 되나요?"))


def test_question_about_the_fee_gets_the_amount() -> None:
    assert "반품 배송비는 구매자가 부담하는 경우 3,000원입니다." in _chosen("반품 배송비 얼마예요?")


def test_remark_is_quoted_where_it_alone_answers() -> None:
    assert any(text.startswith("냉동식품") for text in _chosen("냉동식품 포장 뜯었는데 반품 되나요?"))


def test_pointer_to_another_page_is_never_quoted() -> None:
    for question in ("반품 자세한 내용", "반품 도움말 어디 있나요?", "반품"):
        assert not any("도움말" in text for text in _chosen(question))


def test_steps_are_taken_from_the_first_on() -> None:
    steps = [
        text for text in _chosen("반품 접수 방법 순서대로 알려주세요") if text in RETURNS.split("방법\n")[1]
    ]
    assert steps[0].startswith("[주문관리 > 반품관리] 메뉴에 들어갑니다")


def test_short_answer_is_quoted_whole_without_its_remarks() -> None:
    answer = "네, 가능합니다.\n단, 심사가 끝난 뒤에만 바꿀 수 있습니다.\n※ 참고. 심사는 3일 걸립니다."
    assert _chosen("상호명 변경 가능한가요?", answer) == [
        "네, 가능합니다.",
        "단, 심사가 끝난 뒤에만 바꿀 수 있습니다.",
    ]


def test_announcing_sentence_comes_with_what_it_announces() -> None:
    answer = "필요한 서류는 아래와 같습니다.\n· 사업자등록증 사본\n· 통장 사본\n· 인감증명서"
    assert _chosen("서류 뭐 필요해요?", answer)[1:] == ["사업자등록증 사본", "통장 사본", "인감증명서"]


def test_sentence_that_leans_on_the_one_before_brings_it() -> None:
    answer = (
        "오늘출발은 하루 한 번 기준 시간을 정하는 방식입니다.\n기준 시간이 지난 주문은 내일 나갑니다.\n"
        "이 경우 구매자 화면에는 내일출발로 표시됩니다.\n" + "그 밖의 안내는 생략합니다. " * 12
    )
    chosen = _chosen("내일출발 표시는 구매자 화면에 뜨나요?", answer, "오늘출발은 무엇인가요?")
    place = chosen.index("이 경우 구매자 화면에는 내일출발로 표시됩니다.")
    assert chosen[place - 1] == "기준 시간이 지난 주문은 내일 나갑니다."


def test_case_the_question_names_wins_over_the_other() -> None:
    answer = (
        "■ 국내 판매자\n· 신분증 사본을 제출해 주셔야 가입 심사가 시작되며 심사는 하루가 걸립니다.\n"
        "■ 해외 판매자\n· 여권 사본을 제출해 주셔야 가입 심사가 시작되며 심사는 사흘이 걸립니다."
    )
    assert "여권 사본" in _chosen("해외 판매자는 가입할 때 뭘 제출하나요?", answer, "가입 서류가 궁금해요")[0]


def test_list_that_a_sentence_announces_wins_over_the_next_one() -> None:
    answer = (
        "만 14세 미만은 가입할 수 없습니다.\n만 14세 이상은 아래의 서류를 가입할 때 내셔야 합니다.\n"
        "■ 개인\n· 부모님 동의서 사본 1부 (아이디 기재)\n· 가족관계증명서 사본 1부 (3개월 이내 발급분)\n"
        "■ 사업자 (대표자가 미성년자인 경우)\n· 사업자 등록증 사본 1부 (1년 이내 발급분)\n"
        "· 대표자 명의 통장 사본 1부 (예금주 확인용)\n· 대표자 인감증명서 사본 1부 (3개월 이내 발급분)"
    )
    chosen = _chosen("미성년자도 회원 등록이 되나요?", answer, "미성년자도 가입이 가능한가요?")
    assert chosen[0].startswith("만 14세 미만")
    assert "부모님 동의서 사본 1부 (아이디 기재)" in chosen


def test_answer_of_headings_only_still_gives_something() -> None:
    assert _chosen("템플릿 활용", "'배송비 템플릿' 등록 방법", "템플릿 활용 방법") == [
        "'배송비 템플릿' 등록 방법"
    ]


def test_empty_answer_gives_nothing() -> None:
    assert _chosen("무엇이든", "") == []
