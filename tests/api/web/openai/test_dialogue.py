"""Messages as a question with its history, and follow-ups as lines of text."""

from __future__ import annotations

import pytest

from api.errors import InvalidRequest
from api.events import Delta, ProviderSwitched, Suggestion, Suggestions
from api.web.openai.completions import Completion
from api.web.openai.dialogue import follow_up_lines, question_of, without_follow_ups
from api.web.openai.reply import status_of
from api.web.openai.requests import Message


def messages(*said: tuple[str, str]) -> list[Message]:
    return [Message.model_validate({"role": role, "content": text}) for role, text in said]


OFFERS = [Suggestion(faq_id="f", question="q", text=f"{n}번을 안내해드릴까요?") for n in (1, 2)]


def test_the_last_user_turn_is_the_question() -> None:
    said = messages(("system", "s"), ("user", "가"), ("assistant", "나"), ("user", "다"), ("user", "라"))
    assert question_of(said, most=5) == ("다\n라", (("가", "나"),))


def test_history_is_bounded_and_its_oldest_goes_first() -> None:
    said = [pair for n in range(4) for pair in (("user", f"q{n}"), ("assistant", f"a{n}"))]
    question, history = question_of(messages(*said, ("user", "끝")), most=2)
    assert (question, history) == ("끝", (("q2", "a2"), ("q3", "a3")))
    assert question_of(messages(*said, ("user", "끝")), most=0) == ("끝", ())


def test_an_assistant_that_begins_and_tools_are_left_out() -> None:
    said = messages(
        ("assistant", "안녕하세요"), ("user", "가"), ("tool", "t"), ("assistant", "나"), ("user", "다")
    )
    assert question_of(said, most=5) == ("다", (("가", "나"),))


def test_no_user_text_is_refused() -> None:
    with pytest.raises(InvalidRequest) as refused:
        question_of(messages(("system", "s")), most=5)
    assert "role 'user'" in refused.value.message


def test_a_picture_is_refused_and_not_left_out() -> None:
    picture = Message.model_validate({"role": "user", "content": [{"type": "image_url"}]})
    with pytest.raises(InvalidRequest) as refused:
        question_of([picture], most=5)
    assert "image_url" in refused.value.message


def test_follow_ups_come_off_the_answers_of_the_history() -> None:
    answer = "첫 줄 [1]\n\n  - 본문의 목록\n\n끝 [2]"
    shown = answer + follow_up_lines(OFFERS)
    assert shown.endswith("\n\n  - 1번을 안내해드릴까요?\n  - 2번을 안내해드릴까요?")
    assert without_follow_ups(shown) == answer
    assert follow_up_lines([]) == ""
    assert without_follow_ups("안내 - 드림") == "안내 - 드림"


def test_a_whole_answer_never_mixes_two() -> None:
    completion = Completion("t_1", "faq", 1, follow_ups=True)
    completion.add(Delta(text="버려질 "))
    completion.add(ProviderSwitched.model_validate({"from": "a", "to": "b", "reason": "x"}))
    completion.add(Delta(text="새 답"))
    completion.add(Suggestions(suggestions=tuple(OFFERS[:1])))
    assert completion.whole()["choices"][0]["message"]["content"] == "새 답\n\n  - 1번을 안내해드릴까요?"


@pytest.mark.parametrize(("code", "status"), [("provider_timeout", 504), ("interrupted", 503), ("x", 500)])
def test_failed_turns_have_a_status(code: str, status: int) -> None:
    assert status_of(code) == status
