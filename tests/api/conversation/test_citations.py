"""Citations are checked while the answer streams."""

from hypothesis import given
from hypothesis import strategies as st

from api.conversation.checks.citations import CitationFilter
from retrieval.quoting.citations import strip_citations

_PIECES = st.lists(
    st.sampled_from(
        ["[", "]", "［", "】", "1", "2", "9", "12", ",", ", ", "、", " ", "  ", "\n", "[1]", " [2].", "[1,9]",
         "[판매자정보 > 정산정보]", "정산일은 매월", "1234", "입니다.", "[ ", "３"]
    ),
    max_size=30,
)  # fmt: skip


def _run(pieces: list[str], passages: int = 2) -> tuple[str, list[int], int]:
    check = CitationFilter(passages)
    text = "".join([*(check.feed(piece) for piece in pieces), check.flush()])
    return text, check.cited, check.dropped


def test_citations_of_given_passages_are_kept_and_collected_in_order() -> None:
    text, cited, dropped = _run(["10일에 지급됩니다 [2]. 휴일도 같습니다 [1][2]."])
    assert text == "10일에 지급됩니다 [2]. 휴일도 같습니다 [1][2]."
    assert (cited, dropped) == ([2, 1], 0)


def test_citation_of_a_missing_passage_is_removed_with_its_space() -> None:
    text, cited, dropped = _run(["환불은 3일 걸립니다 [3]. 끝 [0][1]"])
    assert text == "환불은 3일 걸립니다. 끝[1]"
    assert (cited, dropped) == ([1], 2)


def test_citation_list_keeps_only_its_valid_numbers() -> None:
    assert _run(["정산됩니다 [1, 7,2]."]) == ("정산됩니다 [1][2].", [1, 2], 1)


def test_full_width_citation_is_written_plainly() -> None:
    assert _run(["됩니다［１］ 그리고 【2】"]) == ("됩니다[1] 그리고 [2]", [1, 2], 0)


def test_citation_cut_across_pieces_is_recognised() -> None:
    assert _run(["됩니다 ", "[", "1", "2", "]", " 네", " [1"]) == ("됩니다 네 [1", [], 1)


def test_other_brackets_are_left_alone() -> None:
    text = "[판매자정보 > 정산정보]에서 [가입서류]를 [2024] 기준으로 [1번]처럼 [ ] 확인 [1234]"
    assert _run([text]) == (text, [], 0)


def test_without_passages_every_citation_is_dropped() -> None:
    assert _run(["모릅니다 [1]."], passages=0) == ("모릅니다.", [], 1)


def test_text_without_brackets_passes_at_once() -> None:
    assert CitationFilter(2).feed("정산은 매일") == "정산은 매일"


def test_menu_path_is_shown_as_soon_as_it_cannot_be_a_citation() -> None:
    check = CitationFilter(2)
    assert check.feed("메뉴 [") == "메뉴"
    assert check.feed("판") == " [판"


def test_strip_citations_leaves_menu_paths() -> None:
    assert strip_citations("[정산관리]에서 확인합니다 [1][2].") == "[정산관리]에서 확인합니다."


@given(_PIECES, st.integers(0, 12))
def test_result_does_not_depend_on_the_pieces(pieces: list[str], passages: int) -> None:
    assert _run(pieces, passages) == _run(["".join(pieces)], passages)


@given(st.text(alphabet="[]［］ 12,가", max_size=40))
def test_result_does_not_depend_on_single_characters(text: str) -> None:
    assert _run(list(text)) == _run([text])
