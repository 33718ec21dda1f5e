"""What becomes of a provider's text on its way to the reader."""

from __future__ import annotations

from dataclasses import replace

from api.conversation.answer_text import AnswerText
from api.conversation.bounds import AnswerBounds
from retrieval.corpus.faq import Faq
from retrieval.prompt import Passage

_TITLE = "반품 배송비는 누가 내나요?"
FEES = Faq("0123456789ab", _TITLE, "단순 변심이면 구매자가 3,000원을 냅니다.", (), (), _TITLE)
DAYS = replace(FEES, id="ba987654", question="정산은 언제 되나요?", answer="구매확정 뒤 1영업일에 됩니다.")


def _text(*, drop: bool = False) -> AnswerText:
    return AnswerText((Passage(1, FEES), Passage(2, DAYS)), AnswerBounds(), llm=True, drop_ungrounded=drop)


def test_a_passage_that_was_not_given_is_neither_cited_nor_a_source_of_figures() -> None:
    answer = "구매자가 냅니다 [1]. 정산은 1영업일에 됩니다 [2]."
    whole, trimmed = _text(), _text()
    trimmed.give(1)
    assert whole.feed(answer) + whole.flush() == answer
    assert trimmed.feed(answer) + trimmed.flush() == "구매자가 냅니다 [1]. 정산은 1영업일에 됩니다."
    assert (whole.cited, whole.dropped_citations, whole.ungrounded) == ((1, 2), 0, ())
    assert (trimmed.cited, trimmed.dropped_citations) == ((1,), 1)
    assert trimmed.ungrounded == ("정산은 1영업일에 됩니다.",)
