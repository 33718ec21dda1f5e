"""Where an answer ends that its caller bounded."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from api.conversation.checks.bounds import AnswerBounds


def read(pieces: list[str], stop: list[str], most: int | None = None) -> tuple[str, bool]:
    bounds = AnswerBounds(stop, most)
    return "".join(bounds.feed(piece) for piece in pieces) + bounds.flush(), bounds.truncated


@given(
    text=st.text(alphabet="ab끝.", max_size=30),
    cuts=st.lists(st.integers(0, 30), max_size=8),
    stop=st.lists(st.text(alphabet="ab끝.", max_size=3), max_size=3),
)
def test_an_answer_ends_at_the_first_stop_however_it_is_cut(
    text: str, cuts: list[int], stop: list[str]
) -> None:
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[a:b] for a, b in itertools.pairwise(edges)]
    ends = [at for each in stop if each and (at := text.find(each)) >= 0]
    whole, _ = read([text], stop)
    assert whole == text[: min(ends, default=len(text))]
    # In pieces, a stop that is complete earlier ends the answer earlier than one that begins before it.
    shown, _ = read(pieces, stop)
    assert shown.startswith(whole) or whole.startswith(shown)
    assert not any(each and each in shown for each in stop)


def test_a_bound_on_the_length_is_two_characters_a_token() -> None:
    assert read(["가나다", "라마바"], [], 2) == ("가나다라", True)
    assert read(["가나", "다라"], [], 2) == ("가나다라", False)
    assert read(["가나다라"], ["다"], 2) == ("가나", False)
