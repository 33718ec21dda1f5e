"""The small parts of the endpoint provider: reasoning, chunks, waiting, events."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.providers.openai.chunks import BadChunk, Completion, Price
from api.providers.openai.events import EventStream, EventTooLong
from api.providers.openai.reasoning import ReasoningFilter
from api.providers.retry import backoff, retry_after

PARTS = (
    "<think>",
    "</think>",
    "<THINKING>",
    "</thinking >",
    "<",
    "답",
    "변",
    " ",
    "\n",
    "a<b",
    "</",
    "<thin",
    "[1]",
)


def filtered(pieces: list[str], *, opened: bool = False) -> str:
    """What is shown of a text that comes in these pieces."""
    kept = ReasoningFilter(opened=opened)
    return "".join([*(kept.feed(piece) for piece in pieces), kept.flush()])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<think>속생각</think>\n\n답변입니다.", "답변입니다."),
        ("답변<think>속생각</think>입니다.", "답변입니다."),
        ("<thinking>속생각</thinking> 답변", "답변"),
        ("<think>끝나지 않는 생각", ""),
        ("닫기만 </think>했다", "닫기만 했다"),
        ("가격 < 1,000원 <b>굵게</b>", "가격 < 1,000원 <b>굵게</b>"),
        ("<thinker>", "<thinker>"),
    ],
)
def test_reasoning_is_dropped(text: str, shown: str) -> None:
    assert filtered([text]) == shown


@given(st.lists(st.sampled_from(PARTS), max_size=12), st.data())
def test_reasoning_filter_does_not_depend_on_the_cuts(parts: list[str], data: st.DataObject) -> None:
    text = "".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    for opened in (False, True):
        whole = filtered([text], opened=opened)
        assert filtered(pieces, opened=opened) == whole
        assert filtered(list(text), opened=opened) == whole


def test_text_without_tags_is_not_held_back() -> None:
    kept = ReasoningFilter()
    assert [kept.feed(piece) for piece in ("정산은 ", "다음 날 ", "됩니다.")] == [
        "정산은 ",
        "다음 날 ",
        "됩니다.",
    ]


@pytest.mark.parametrize(
    "data",
    [
        "{", "[]", "null", "3", '"글"', '{"choices": 3}', '{"choices": [3]}',
        '{"choices": [{"delta": {"content": 5}}]}', '{"error": "고장"}',
    ],
)  # fmt: skip
def test_anything_but_a_chunk_is_refused(data: str) -> None:
    with pytest.raises(BadChunk):
        Completion(10, 10, Price()).read(data.encode())


def test_other_choices_and_unknown_fields_are_skipped() -> None:
    completion = Completion(10, 10, Price())
    two = [
        {"index": 1, "delta": {"content": "둘째"}},
        {"index": 0, "delta": {"content": "첫째"}, "logprobs": None},
    ]
    assert completion.read(json.dumps({"choices": two, "x": 1}).encode()) == "첫째"
    assert completion.read(b'{"choices": [], "usage": null}') == ""


def headers(given: dict[str, str]) -> Callable[[str], str]:
    """Looks a header up."""
    return lambda name: given.get(name, "")


def test_retry_after_is_read_in_all_its_forms() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert retry_after(headers({"retry-after": "7"})) == 7
    assert retry_after(headers({"retry-after": "0.5"})) == 0.5
    assert retry_after(headers({"retry-after-ms": "250"})) == 0.25
    assert retry_after(headers({"retry-after": date})) == pytest.approx(30, abs=2)
    assert retry_after(headers({"retry-after": "나중에"})) is None
    assert retry_after(headers({})) is None


def test_backoff_grows_and_never_undercuts_what_was_asked() -> None:
    assert max(backoff(0) for _ in range(50)) <= 0.25 < min(backoff(3) for _ in range(50))
    assert backoff(20) <= 4
    assert backoff(0, 3.0) == 3.0


class Arriving:
    """Bytes in given pieces."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)

    async def read(self) -> bytes:
        """The next piece; empty at the end."""
        return next(self._pieces, b"")


async def test_events_are_found_however_the_bytes_arrive() -> None:
    raw = ": 댓글\r\nevent: x\r\ndata: 하나\r\n\r\ndata:둘\n\ndata: [DONE]\n\n".encode()
    for step in (1, 3, len(raw)):
        events = EventStream(Arriving(raw[at : at + step] for at in range(0, len(raw), step)))
        found = [await events.next() for _ in range(4)]
        assert found == ["하나".encode(), "둘".encode(), b"[DONE]", None]


async def test_events_of_unusual_servers_are_understood() -> None:
    raw = b'data: {"a":\ndata: 1}\n\ndata: {"b": 2}\rdata: {"c": 3}\r\rdata: [DONE]'
    for step in (1, 3, len(raw)):
        events = EventStream(Arriving(raw[at : at + step] for at in range(0, len(raw), step)))
        found = [await events.next() for _ in range(5)]
        assert found == [b'{"a":\n1}', b'{"b": 2}', b'{"c": 3}', b"[DONE]", None]


async def test_half_an_event_at_the_end_is_none() -> None:
    assert await EventStream(Arriving([b'data: {"choices": [{"del'])).next() is None


async def test_endless_line_is_refused() -> None:
    with pytest.raises(EventTooLong):
        await EventStream(Arriving([b"data: " + b"x" * 2**21])).next()
