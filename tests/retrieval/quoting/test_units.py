"""How an answer falls into units."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.corpus.faq import read_corpus
from retrieval.quoting.units import Unit, split_units, without_connective

REAL = Path(__file__).parents[4] / "shared" / "data" / "final_result.pkl"


def _texts(answer: str, role: str) -> list[str]:
    return [unit.text for unit in split_units(answer) if unit.role == role]


def test_steps_stay_one_list_across_a_remark() -> None:
    answer = "1) 메뉴에 들어갑니다.\n※ 주의. 저장 전입니다.\n2) 저장을 눌러 주세요.\n3) 끝났습니다."
    steps = [unit for unit in split_units(answer) if unit.role == "step"]
    assert [unit.group for unit in steps] == [0, 0, 0]


def test_new_numbering_is_a_new_list() -> None:
    answer = (
        "방법 안내\n1) 가입합니다.\n2) 승인을 기다립니다.\n\n탈퇴 안내\n1) 탈퇴를 누릅니다.\n2) 확인합니다."
    )
    assert [unit.group for unit in split_units(answer) if unit.role == "step"] == [0, 0, 1, 1]


def test_list_knows_its_heading_and_the_heading_its_announcement() -> None:
    units = split_units("조건은 아래와 같습니다.\n\n■ 가입 조건\n· 사업자\n· 성인")
    assert [unit.role for unit in units] == ["sentence", "heading", "bullet", "bullet"]
    assert units[0].opens
    assert (units[1].head, units[2].head) == (0, 1)


def test_bullets_below_a_bare_note_label_are_notes() -> None:
    assert _texts("환불됩니다.\n※ 참고.\n· 카드는 3일 걸립니다.", "note") == ["카드는 3일 걸립니다."]


def test_bullet_under_a_step_hangs_on_it() -> None:
    units = split_units("1. 국내 배송\n  · 이틀 걸립니다.\n2. 해외 배송\n  · 열흘 걸립니다.")
    assert [unit.parent for unit in units] == [-1, 0, -1, 2]


def test_lines_of_an_example_stay_an_example() -> None:
    answer = "월말에 지급됩니다.\n예시) 1월 결제인 경우\n1월 2일 ~ 1월 31일 결제 건"
    assert _texts(answer, "example") == ["1월 결제인 경우", "1월 2일 ~ 1월 31일 결제 건"]


def test_sentence_cut_inside_a_quotation_is_mended() -> None:
    answer = "'접근 권한이 없습니다.' 문구가 나오면 다시 로그인해 주세요."
    assert _texts(answer, "sentence") == [answer]


def test_word_that_ends_like_below_announces_nothing() -> None:
    unit = split_units("'다시 보내기' 버튼으로 재처리 가능합니다.\n· 최대 3회")[0]
    assert not unit.opens


@pytest.mark.parametrize(
    "text",
    ["자세한 내용은 공지사항을 참고해 주세요.", "안녕하세요, 판매자님.", "아래 이미지를 참고해 주세요."],
)
def test_empty_phrases_are_recognised(text: str) -> None:
    assert Unit(text, "sentence", 0).empty


def test_menu_path_is_not_an_empty_phrase() -> None:
    assert not Unit("[정산관리 > 정산내역]에서 확인해 주세요.", "sentence", 0).empty


def test_connective_is_taken_off_once() -> None:
    assert without_connective("또한, 톡톡으로도 알려 드립니다.") == "톡톡으로도 알려 드립니다."
    assert without_connective("단가가 바뀝니다.") == "단가가 바뀝니다."


@given(st.text(alphabet="가나다 .\n1)2·※■:[]<>예시아래와같습니다", max_size=120))
def test_any_text_splits_with_valid_references(text: str) -> None:
    units = split_units(text)
    assert [unit.index for unit in units] == list(range(len(units)))
    assert all(-1 <= place < unit.index for unit in units for place in (unit.head, unit.parent))


@pytest.mark.real
@pytest.mark.skipif(not REAL.exists(), reason="needs the real FAQ in ../shared")
def test_every_real_answer_splits() -> None:
    assert all(split_units(faq.answer) for faq in read_corpus(REAL).faqs)
