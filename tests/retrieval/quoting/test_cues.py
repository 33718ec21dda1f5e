"""What a question asks for."""

import pytest

from retrieval.quoting.cues import Aim, flat, read_question


@pytest.mark.parametrize(
    ("question", "aim"),
    [
        ("정산은 언제 되나요?", "when"),
        ("수수료가 얼마예요", "amount"),
        ("어디서 바꿔?", "where"),
        ("탈퇴하려면 어떻게 해요", "how"),
        ("왜 노출이 안 되죠?", "why"),
        ("중복 참여 됨?", "whether"),
        ("준비할 서류 알려주세요", "list"),
        ("묶음배송이란?", "meaning"),
    ],
)
def test_aim_is_read_from_the_question_form(question: str, aim: Aim) -> None:
    assert aim in read_question(question, ()).aims


def test_answer_form_tells_the_aim() -> None:
    question = read_question("언제 어디서 신청하나요?", ())
    assert question.told("[혜택관리 > 쿠폰]에서 신청합니다.") >= {"where"}
    assert "when" in question.told("매월 5일에 열립니다.")
    assert "when" not in question.told("누구나 신청합니다.")


def test_other_words_for_the_same_match() -> None:
    (terms,) = read_question("손님", ("손님",)).terms
    assert "구매자" in terms


def test_words_of_every_question_tell_nothing() -> None:
    assert read_question("스마트스토어 방법 문의", ("스마트스토어", "방법", "문의", "하")).terms == ()


def test_case_is_only_judged_where_the_question_names_one() -> None:
    assert read_question("가입 서류", ()).case("해외 사업자") == 0
    assert read_question("해외 사업자 가입 서류", ()).case("국내 거주자") == -1
    assert read_question("해외 사업자 가입 서류", ()).case("해외 거주자") == 1


def test_flat_ignores_spacing_and_case() -> None:
    assert flat("KC 인증\n번호") == "kc인증번호"
