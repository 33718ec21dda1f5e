"""How an answer falls into blocks: what belongs together stays together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.quoting.blocks import missing_items, split_blocks


def _lines(answer: str) -> list[list[str]]:
    return [block.lines for block in split_blocks(answer)]


def test_announced_list_is_one_block_with_its_sentence() -> None:
    answer = "서류는 아래와 같습니다.\n\n· 신분증 사본\n· 통장 사본\n문의는 고객센터로 해 주세요."
    assert _lines(answer)[0] == ["서류는 아래와 같습니다.", "· 신분증 사본", "· 통장 사본"]


def test_sentence_that_leans_on_the_one_before_stays_with_it() -> None:
    assert _lines("네, 바꿀 수 있습니다.\n단, 심사가 끝난 뒤에만 됩니다.\n심사는 사흘 걸립니다.") == [
        ["네, 바꿀 수 있습니다.", "단, 심사가 끝난 뒤에만 됩니다."],
        ["심사는 사흘 걸립니다."],
    ]


def test_warning_stays_with_its_item_and_a_remark_stands_alone() -> None:
    answer = "1. 메뉴를 엽니다.\n※ 주의. 저장 전입니다.\n2. 저장합니다.\n※ 참고. 하루 걸립니다."
    assert _lines(answer) == [
        ["1. 메뉴를 엽니다.", "※ 주의. 저장 전입니다.", "2. 저장합니다."],
        ["※ 참고. 하루 걸립니다."],
    ]


def test_remark_between_two_steps_does_not_end_the_list() -> None:
    answer = "1. 메뉴를 엽니다.\n※ 참고. 두 곳에 있습니다.\n주소는 두 개까지 됩니다.\n2. 고릅니다."
    assert len(split_blocks(answer)) == 1


def test_bullets_below_a_bare_label_are_remarks_of_their_own() -> None:
    blocks = split_blocks("환불됩니다.\n※ 참고.\n· 카드는 3일 걸립니다.\n· 계좌는 하루 걸립니다.")
    assert [block.role for block in blocks] == ["text", "remark", "remark"]
    assert blocks[1].lines == ["※ 카드는 3일 걸립니다."]


def test_bullets_below_a_bare_warning_belong_to_what_they_warn_of() -> None:
    assert _lines("1. 저장합니다.\n※ 주의.\n· 되돌릴 수 없습니다.") == [
        ["1. 저장합니다.", "※ 되돌릴 수 없습니다."]
    ]


def test_two_levels_of_steps_are_kept() -> None:
    answer = "순서입니다.\n1. 국내 배송\n1) 택배사를 고릅니다.\n2) 저장합니다.\n2. 해외 배송\n1) 신청합니다."
    assert _lines(answer)[0][1:] == [
        "1. 국내 배송",
        "  1) 택배사를 고릅니다.",
        "  2) 저장합니다.",
        "2. 해외 배송",
        "  1) 신청합니다.",
    ]


def test_heading_governs_what_stands_below_it() -> None:
    blocks = split_blocks(
        "됩니다.\n\n[가입 조건]\n· 사업자\n· 성인\n\n탈퇴 방법\n1. 누릅니다.\n2. 확인합니다."
    )
    assert [block.head for block in blocks] == ["", "가입 조건", "탈퇴 방법"]


def test_sentence_that_announces_headings_governs_their_blocks() -> None:
    blocks = split_blocks("조건은 아래와 같습니다.\n\n■ 가입 조건\n· 사업자\n\n■ 탈퇴 조건\n· 정산 완료")
    assert blocks[0].open
    assert blocks[0].governs == 2


def test_glued_heading_is_parted() -> None:
    block = split_blocks("쿠폰 정산 확인 방법쿠폰 금액을 뺀 금액으로 정산됩니다.")[0]
    assert (block.head, block.lines) == ("쿠폰 정산 확인 방법", ["쿠폰 금액을 뺀 금액으로 정산됩니다."])


@pytest.mark.parametrize(
    "answer",
    ["쿠폰 확인 방법은 두 가지입니다.", "변경 방법에 따라 다릅니다.", "조건부 무료는 판매가로 정합니다."],
)
def test_particle_after_a_noun_makes_no_heading(answer: str) -> None:
    assert _lines(answer) == [[answer]]


def test_rows_of_a_table_stay_together() -> None:
    answer = "수수료입니다.\n| 구분 | 수수료 |\n| --- | --- |\n| 영세 | 2% |\n끝났습니다."
    assert _lines(answer)[1] == ["| 구분 | 수수료 |", "| --- | --- |", "| 영세 | 2% |"]


@pytest.mark.parametrize(
    "sentence",
    [
        "자세한 내용은 공지사항을 참고해 주세요.",
        "아래 이미지를 참고해 주세요.",
        "아래의 네이버 도움말을 확인해 주세요.",
        "안녕하세요, 판매자님.",
    ],
)
def test_what_points_at_something_that_is_not_there_is_left_out(sentence: str) -> None:
    assert _lines(f"가입됩니다.\n{sentence}") == [["가입됩니다."]]


def test_picture_named_within_a_sentence_is_not_mentioned() -> None:
    assert _lines("위 이미지에 따라 알림을 켜 주세요.") == [["알림을 켜 주세요."]]


@pytest.mark.parametrize(
    "sentence",
    [
        "[정산관리 > 정산내역]에서 확인해 주세요.",
        "'수거방법 도움말' 항목을 확인해 주세요.",
        "왼쪽 상단 채널명 위의 이미지를 클릭해 주세요.",
    ],
)
def test_steps_on_the_screen_are_no_pointers(sentence: str) -> None:
    assert _lines(sentence) == [[sentence]]


@pytest.mark.parametrize(
    ("lines", "missing"),
    [
        (["서류는 다음과 같습니다."], 1),
        (["세 가지 방법이 있습니다.", "1. 하나"], 2),
        (["세 가지 방법이 있습니다.", "1. 하나", "2. 둘", "3. 셋"], 0),
        (["다음 날 정산됩니다."], 0),
        (["1~2가지 항목만 보일 수 있습니다."], 0),
    ],
)
def test_missing_items_are_counted(lines: list[str], missing: int) -> None:
    assert missing_items(lines) == missing


@given(st.text(alphabet="가나다 .\n1)2·※■:[]<>|예시아래와같습니다방법", max_size=120))
def test_any_text_falls_into_blocks_that_hold_something(text: str) -> None:
    blocks = split_blocks(text)
    assert all(block.lines and any(line.strip() for line in block.lines) for block in blocks)
    assert bool(blocks) == bool(text.strip())


def test_list_goes_on_after_a_worded_remark_between_its_bullets() -> None:
    answer = "상태입니다.\n· 심사 중 : 사흘 걸립니다.\n※ 참고. 주말은 뺍니다.\n· 보류 : 서류가 모자랍니다."
    assert len(split_blocks(answer)) == 1


def test_announced_list_comes_after_a_remark() -> None:
    answer = "다음 세 가지 방법으로 합니다.\n※ 참고. 결과는 같습니다.\n1. 앱\n2. 웹\n3. 전화"
    assert _lines(answer) == [[line for line in answer.split("\n")]]


def test_step_that_continues_nothing_begins_a_list_of_its_own() -> None:
    blocks = split_blocks("요율표\n· 일반 3%\n2) 유입 수수료는 2%입니다.")
    assert [block.lines for block in blocks] == [["· 일반 3%"], ["2) 유입 수수료는 2%입니다."]]
